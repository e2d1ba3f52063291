"""Who may import whom (the arrows of the layout), read from the source without running it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

CORE = {  # module -> what of ours it may import
    "config": set(),
    "errors": set(),
    "schedule": set(),
    "hardware": {"errors"},
    "picture": {"errors"},
    "conditions": {"errors", "picture"},
    "depth": {"errors", "stored"},
    "request": {"errors"},
    "tokens": set(),
    "text": {"tokens"},
    "controls": {"errors", "picture"},
    "stored": {"errors"},
    "styles": {"errors", "stored"},
    "safety": {"errors", "picture", "stored"},
    "hub": {"errors"},
    "weights": {"config", "errors", "hub"},
    "loading": {"controls", "errors", "schedule", "stored", "text", "tokens"},
    "pipeline": {
        "conditions", "config", "controls", "depth", "errors", "hardware", "loading", "picture",
        "request", "safety", "schedule", "styles", "text", "weights",
    },
}  # fmt: skip
PAGES = {
    "about": {"conditions", "config", "errors"},
    "guard": {"errors"},
    "serve": {"errors"},
    "studio": {"conditions", "errors", "picture", "request"},
    "ui": {"about", "conditions", "errors", "guard", "picture", "request", "studio"},
}
COMMANDS = {
    "": {"errors", "pipeline"},
    "__main__": {"conditions", "errors", "picture", "pipeline", "request"},
    "architectures": set(),
    "bench": {
        "architectures",
        "config",
        "errors",
        "hardware",
        "picture",
        "pipeline",
        "schedule",
    },
}
MODULES = CORE | PAGES | COMMANDS
PACKAGES = {  # package -> what of ours its modules may import, besides each other
    "storybook": set(CORE),
    "train": {*CORE, "storybook"},
}
APPS = {"", *CORE, *PAGES}
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


@pytest.mark.parametrize("file", FILES, ids=[module_name(file) or "sdxs" for file in FILES])
def test_arrows(file: Path) -> None:
    name = module_name(file)
    package = name.split(".")[0]
    if package in PACKAGES:
        extra = {found for found in ours(file) if found.split(".")[0] == package}
        allowed = PACKAGES[package]
        wrong = {found for found in ours(file) - extra if found.split(".")[0] not in allowed}
    else:
        assert name in MODULES, f"{name}: a new module needs a row in tests/test_imports.py"
        wrong = ours(file) - MODULES[name]
    assert not wrong, f"sdxs.{name} may not import {', '.join(sorted(wrong))}"


def test_no_row_is_left_over() -> None:
    assert set(MODULES) <= {module_name(file) for file in FILES}


@pytest.mark.parametrize("file", sorted(ROOT.glob("app*.py")), ids=lambda file: file.name)
def test_apps(file: Path) -> None:
    assert ours(file) <= APPS


def test_pages_have_no_torch() -> None:
    reached, queue = set(), [*PAGES]
    while queue:
        name = queue.pop()
        if name not in reached:
            reached.add(name)
            queue += MODULES[name]
    for name in reached:
        found = imported(ROOT / "sdxs" / f"{name}.py", at_import_only=True)
        assert not HEAVY & {part.split(".")[0] for part in found}, f"sdxs.{name} imports {found}"


def test_only_one_file_knows_gradio_and_one_the_hub() -> None:
    def who(package: str) -> set[str]:
        return {
            module_name(file)
            for file in FILES
            if package in {name.split(".")[0] for name in imported(file)}
        }

    assert who("gradio") <= {"ui"}
    assert who("huggingface_hub") <= {"hub"}


def test_importing_the_package_is_light() -> None:
    code = "import sdxs.__main__, sys; sys.exit(not {'torch', 'gradio'}.isdisjoint(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
