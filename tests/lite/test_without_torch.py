"""Programs that have no torch: a picture, a page, and what is said where nothing can paint."""

import io
import os
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from programs import free_port, run, running

from sdxs.lite.model import SDXS

ABSENT = (
    "torch",
    "torchvision",
    "diffusers",
    "transformers",
    "accelerate",
    "safetensors",
    "openvino",
)
PROGRAM = """
import sys
for name in {absent!r}:
    sys.modules[name] = None  # as if it was not installed
from sdxs.{module} import main
status = main(sys.argv[1:])
assert not [name for name in {absent!r} if sys.modules[name]]
sys.exit(status)
"""  # fmt: skip


def program(module: str, *absent: str) -> list[str]:
    return ["-c", PROGRAM.format(module=module, absent=(*ABSENT, *absent))]


@pytest.fixture
def environment(folder: Path) -> Mapping[str, str]:
    """Where the toy is the embedded model, and nobody says which engine."""
    own = {"SDXS_WEIGHTS": str(folder.parents[1]), "PYTHONPATH": "."}
    return {name: value for name, value in os.environ.items() if name != "SDXS_ENGINE"} | own


def test_the_command_paints(environment: Mapping[str, str], light: SDXS, tmp_path: Path) -> None:
    file = tmp_path / "x.png"
    words = ["a red house", "--seed", "7", "--style", "ink", "--output", str(file)]
    done = run(sys.executable, *program("__main__"), *words, env=environment)
    assert done.returncode == 0, done.stderr
    assert "storybook on cpu, float32" in done.stderr
    wanted = light("a red house", seed=7, style="ink")
    assert np.array_equal(Image.open(file), wanted)


def test_a_page_answers(environment: Mapping[str, str], light: SDXS, tmp_path: Path) -> None:
    port = free_port()
    page = [*program("page.__main__"), "text", "--port", port, "--public"]
    with (
        open(tmp_path / "log", "w+") as log,
        running(*page, env=environment, log=log) as said,
    ):
        assert port in said, (tmp_path / "log").read_text()
        url = f"http://127.0.0.1:{port}/api/picture?prompt=a+red+house&seed=7&format=png"
        with urllib.request.urlopen(url, timeout=60) as answer:
            picture = Image.open(io.BytesIO(answer.read()))
    assert np.array_equal(picture, light("a red house", seed=7))


def test_nothing_paints(environment: Mapping[str, str]) -> None:
    done = run(sys.executable, *program("__main__", "onnxruntime"), "a red house", env=environment)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "pip install 'sdxs[torch]'" in done.stderr and "pip install 'sdxs[lite]'" in done.stderr


COMMANDS = """
import runpy, sys
for name in {absent!r}:
    sys.modules[name] = None
for name in sys.argv[1:]:
    try:
        runpy.run_module(name, run_name="__main__")
    except SystemExit as end:
        print(end)
"""


def test_commands_that_need_torch_say_so() -> None:
    names = [
        "bench", "bench.lite", "bench.savings", "engines.calibrate", "evaluate", "export",
        "storybook.draw", "train.teacher", "train.recipe",
    ]  # fmt: skip
    absent = (*ABSENT, "peft")
    code = COMMANDS.format(absent=absent)
    done = run(sys.executable, "-c", code, *(f"sdxs.{name}" for name in names))
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and len(lines) == len(names), done.stderr
    assert all("pip install" in line for line in lines), lines
