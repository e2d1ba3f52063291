"""The trees that the documents draw are what there is."""

import re
from pathlib import Path

import pytest
from programs import ROOT

CODE = (".py", ".js", ".css", ".html")
NAME = re.compile(
    r"[\w.-]+(?:/|\.(?:py|jsonl|js|css|html|md|toml|txt|in|yaml)\b)|LICENSE|(?:Make|Docker)file"
)
UNDRAWN = re.compile(r"\..*|.*\.egg-info|PKG-INFO|setup.cfg|build|dist|env|runs|__pycache__")


def code(folder: str) -> list[Path]:
    return [file for file in sorted((ROOT / folder).rglob("*")) if file.suffix in CODE]


def drawn(document: str) -> set[str]:
    """The paths in a document's tree: a folder that begins a line holds what is named after it."""
    tree = re.search(r"```\n(sdxs/.*?)```", (ROOT / document).read_text("utf-8"), re.DOTALL)
    assert tree, f"{document} draws no tree"
    found, folders = set(), [""]
    for line in tree[1].splitlines():
        names = NAME.findall(line)
        if not names or not line.lstrip().startswith(names[0]):
            continue  # more words about the line before
        del folders[(len(line) - len(line.lstrip())) // 2 + 1 :]
        if names[0].endswith("/"):
            folders.append(folders[-1] + names[0])
            found.add(folders[-1])
            del names[0]
        found |= {folders[-1] + name for name in names}
    return found


@pytest.mark.parametrize("document", ["README.md", "docs/architecture.md"])
def test_all_that_is_drawn_is_there(document: str) -> None:
    assert not {path for path in drawn(document) if not (ROOT / path).exists()}


def test_the_readme_draws_every_file_on_top_and_every_wing() -> None:
    top = {path for path in ROOT.iterdir() if not UNDRAWN.fullmatch(path.name)}
    wings = {file.parent for file in code("sdxs")} - {ROOT / "sdxs"}
    there = {path.relative_to(ROOT).as_posix() + "/" * path.is_dir() for path in top | wings}
    assert not there - drawn("README.md")


def test_the_architecture_draws_every_module() -> None:
    files = {file.relative_to(ROOT).as_posix() for file in code("sdxs")}
    files = {file for file in files if file == "sdxs/__init__.py" or "__init__" not in file}
    assert not files - drawn("docs/architecture.md")


def test_links_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("weights/**/*.md")]
    for page in pages:
        for link in re.findall(r"""(?:\]\(|src=")([^):"#]+)[#)"]""", page.read_text("utf-8")):
            assert (page.parent / link).exists(), f"{page} leads to {link}"


@pytest.mark.parametrize("folder", ["sdxs", "tests"])
def test_no_file_is_too_long(folder: str) -> None:
    lines = {file: len(file.read_text("utf-8").splitlines()) for file in code(folder)}
    assert not {file.name: count for file, count in lines.items() if count > 300}
