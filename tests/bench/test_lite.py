"""What is measured of the light package; in an environment of its own, which takes minutes."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from programs import ROOT, run

from sdxs.bench import light
from sdxs.bench.lite import main
from sdxs.engines.compare import PIXELS_16, PIXELS_32

LEFT_OUT = (".*", "runs", "build", "dist", "*.egg-info", "__pycache__", "tests", "node_modules")


def test_what_is_compared_has_styles_and_sketches() -> None:
    asked: list[dict[str, Any]] = []

    def paint(**each: Any) -> Image.Image:
        asked.append(each)
        return Image.new("RGB", (4, 4), (len(asked),) * 3)

    found = light.pictures(paint, 12)
    assert found.shape == (12, 4, 4, 3) and found[:, 0, 0, 0].tolist() == list(range(1, 13))
    assert len({(each["style"], each["style_scale"]) for each in asked}) == 9
    led = [each for each in asked if "control" in each]
    assert len(led) == 3 and len({each["control_image"].tobytes() for each in led}) == 3
    assert len({each["seed"] for each in asked}) == 12 and asked == list(light._requests(12))


def test_what_cannot_be_installed_is_said(ran: Any, tmp_path: Path) -> None:
    (tmp_path / "sdxs-0.1.0-py3-none-any.whl").write_bytes(b"")
    status, told, said = ran(main, tmp_path / "sdxs-0.1.0-py3-none-any.whl")
    assert status == 2 and not told and "pip install" in said


@pytest.mark.long
def test_in_an_environment_of_its_own(ran: Any, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*LEFT_OUT, "onnx"))
    led = ["--styles", ",".join(light.LED["styles"]), "--controls", light.LED["controls"]]
    words = ["storybook", "--to", "onnx", *led, "--out", source / "weights" / "onnx" / "storybook"]
    done = run(sys.executable, "-m", "sdxs.export", *words)
    assert done.returncode == 0, done.stderr
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(tmp_path)!r})"
    assert run(sys.executable, "-c", build, cwd=source).returncode == 0
    (wheel,) = tmp_path.glob("*.whl")
    status, told, said = ran(main, wheel, "--rounds", "3", "--count", "24")
    assert status == 0, said
    found = json.loads(told.splitlines()[-1])
    near = found["decibels"]
    assert near["float32"]["least"] > PIXELS_32 and near["bfloat16"]["least"] > PIXELS_16
    assert not {"torch", "transformers", "diffusers", "openvino"} & found["installed_mb"].keys()
    assert found["program"]["own_mb"] < 500 and np.isfinite(found["seconds"]["page"])
