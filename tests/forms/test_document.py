"""The examples of docs/programs.md, run as they stand there, against a page."""

import os
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageChops
from programs import ROOT, run

DOCUMENT = (ROOT / "docs" / "programs.md").read_text("utf-8")
EXAMPLES = re.findall(r"```(python|bash|js)\n(.*?)```", DOCUMENT, re.DOTALL)
NEEDS = {"bash": "curl", "js": "node"}


@pytest.mark.parametrize(
    ("language", "code"),
    EXAMPLES,
    ids=[f"{name}-{place}" for place, (name, _) in enumerate(EXAMPLES)],
)
def test_an_example(language, code, page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = code.replace("http://127.0.0.1:7860", page.address)
    if language == "python":
        exec(code, {})
    else:
        program = NEEDS[language]
        if not shutil.which(program) and not os.environ.get("CI"):
            pytest.skip(f"no {program} on this machine")
        script = Path("example.mjs" if language == "js" else "example.sh")
        script.write_text(code, "utf-8")
        done = run("node" if language == "js" else "bash", script, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    written = re.findall(r"[\w-]+\.(?:png|jpg|webp)", code.replace("{place}", "0"))
    assert written
    for name in written:
        same = is_of(page.standin.follow("a red house", 7), name)
        assert same is ("drawing" not in code), name


def is_of(picture: Image.Image, name: str) -> bool:
    """Whether a file is this picture's, as far as its format can tell."""
    difference = ImageChops.difference(Image.open(name).convert("RGB"), picture)
    return max(high for _, high in difference.getextrema()) < (1 if name.endswith("png") else 60)


def test_every_form_has_an_example():
    assert [language for language, _ in EXAMPLES].count("python") == 5
    assert {"bash", "js"} < {language for language, _ in EXAMPLES}


def test_the_readme_is_no_lie(page, tmp_path, monkeypatch):
    section = (
        (ROOT / "README.md").read_text("utf-8").split("## From a program")[1].split("\n## ")[0]
    )
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    names: dict[str, object] = {}
    exec(code.replace("http://127.0.0.1:7860", page.address), names)
    assert names["answer"].data[0].model_extra["seed"] == 7
