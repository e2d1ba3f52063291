"""Who may import whom (the arrows of the layout), read from the source without running it."""

import ast
import sys
from pathlib import Path

import pytest
from programs import ROOT, run

GROUND = {  # module of plain data and pure functions -> what of ours it may import
    "errors": set(),
    "temporary": set(),
    "ending": {"errors"},
    "granted": set(),
    "proxies": {"errors"},
    "zero": {"errors"},
    "config": set(),
    "picture": {"errors"},
    "sizes": {"errors"},
    "sources": {"errors"},
    "arguments": {"errors", "sizes"},
    "tokens": {"arguments", "errors"},
    "walks": {"arguments", "errors", "sizes"},
    "outputs": {"arguments", "errors", "picture"},
    "drawing": {"errors", "picture"},
    "metadata": {"arguments", "config", "errors", "picture"},
    "film": {"errors", "metadata"},
    "conditions": {"arguments", "drawing", "errors", "picture"},
}
WINGS = {  # wing (a package, or a module beside them) -> what it may import besides itself
    "": {"errors", "lite", "pipeline"},
    "lite": {*GROUND},
    "model": {*GROUND},
    "checkpoint": {*GROUND, "model"},  # its parts, for the judges and the training
    "checkpoint.open": {*GROUND, "checkpoint", "model"},  # the one door for whole models
    "engines": {*GROUND, "checkpoint.open", "model"},
    "steps": {*GROUND, "checkpoint.open", "model"},
    "pipeline": {*GROUND, "checkpoint.open", "engines", "model", "steps"},
    "service": {*GROUND},
    "programs": {*GROUND, "service"},
    "server": {*GROUND, "service"},
    "page": {"", *GROUND, "programs", "server", "service"},
    "serve": {*GROUND, "page", "server", "service"},
    "bench": {"", *GROUND, "bench.architectures", "checkpoint.open", "engines", "model",
              "pipeline"},
    "bench.architectures": set(),  # the shapes that were published
    "evaluate": {*GROUND, "bench", "bench.architectures", "checkpoint", "model", "pipeline"},
    "export": {*GROUND, "checkpoint", "checkpoint.open", "engines", "model", "pipeline", "service"},
    "filmed": {*GROUND, "service"},
    "__main__": {"", *GROUND, "filmed", "server", "service"},
    "storybook.world": {*GROUND},
    "storybook.judges": {*GROUND, "checkpoint", "model", "pipeline", "storybook.world"},
    "storybook.command": {"errors", "pipeline"},
    "storybook": {*GROUND, "pipeline", "storybook.world", "storybook.judges", "storybook.command"},
    "train.run": {*GROUND, "checkpoint", "model"},
    "train.parts": {*GROUND, "bench.architectures", "checkpoint", "model",
                    "storybook.world", "storybook.judges", "train.run"},
    "train": {*GROUND, "checkpoint.open", "model", "pipeline",
              "storybook.world", "storybook.judges", "train.parts", "train.run"},
}  # fmt: skip
COMMANDS = {"storybook", "train"}  # wings whose modules import one another never
APPS = {"page"}
HEAVY = {"torch", "diffusers", "transformers", "peft"}


def module_name(file: Path) -> str:
    """sdxs/train/loop.py is "train.loop"; sdxs/__init__.py is ""."""
    name = ".".join(file.relative_to(ROOT / "sdxs").with_suffix("").parts)
    return name.removesuffix("__init__").removesuffix(".")


def imported(file: Path, *, at_import_only: bool = False) -> set[str]:
    """Full names of all modules that a file imports, `from a import b` as a.b."""
    names: set[str] = set()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in tree.body if at_import_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def ours(file: Path) -> set[str]:
    """Modules of sdxs that a file imports, "" for the package itself."""
    found = set()
    for name in imported(file):
        parts = name.split(".")
        if parts[0] == "sdxs":
            while len(parts) > 1 and not is_module(parts):
                parts.pop()  # a name in a module
            found.add(".".join(parts[1:]))
    return found


def is_module(parts: list[str]) -> bool:
    path = ROOT.joinpath(*parts)
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


FILES = sorted((ROOT / "sdxs").rglob("*.py"))


def wing(name: str) -> str:
    """Of a module: the longest row of the tables that holds it."""
    rows = (row for row in GROUND | WINGS if f"{name}.".startswith(f"{row}.") and row)
    return max(rows, key=len, default="" if name == "" else name)


@pytest.mark.parametrize("file", FILES, ids=[module_name(file) or "sdxs" for file in FILES])
def test_arrows(file: Path) -> None:
    name = module_name(file)
    row = wing(name)
    assert row in GROUND | WINGS, f"{name}: a new module beside the wings needs a row"
    allowed = {row, *(GROUND | WINGS)[row]} - COMMANDS
    wrong = {found for found in ours(file) if wing(found) not in allowed}
    assert not wrong, f"sdxs.{name} may not import {', '.join(sorted(wrong))}"


def test_no_row_is_left_over() -> None:
    assert set(GROUND | WINGS) == {wing(module_name(file)) for file in FILES}


@pytest.mark.parametrize("file", sorted(ROOT.glob("app*.py")), ids=lambda file: file.name)
def test_apps(file: Path) -> None:
    assert {wing(found) for found in ours(file)} <= APPS


def test_pages_have_no_torch() -> None:
    for file in FILES:
        light = {"", *GROUND, "lite", "page", "programs", "server", "service", "filmed", "__main__"}
        if wing(module_name(file)) in light:
            found = imported(file, at_import_only=True)
            assert not HEAVY & {part.split(".")[0] for part in found}, f"{file} imports {found}"


def test_who_knows_gradio_and_who_the_hub() -> None:
    known = {module_name(file): {name.split(".")[0] for name in imported(file)} for file in FILES}
    allowed = {
        "ray": {"serve", "serve.pages", "serve.painters", "serve.replicas"},
        "gradio": {"page.endpoints", "page.listening", "page.opened", "page.ui", "page.widgets"},
        "huggingface_hub": {"checkpoint.hub"},
        "mcp": {"programs.tools"},
    }
    for package, who in allowed.items():
        assert {name for name in known if package in known[name]} <= who


def test_importing_the_package_is_light() -> None:
    code = """
import sys, sdxs.__main__, sdxs.page.__main__
for command in sdxs.__main__, sdxs.page.__main__:
    try:
        command.main(["--help"])
    except SystemExit as end:
        assert not end.code
sys.exit(not {"torch", "gradio"}.isdisjoint(sys.modules))
"""
    assert run(sys.executable, "-c", code).returncode == 0
