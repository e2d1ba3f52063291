"""The architectures have the published numbers of parameters, and paint at full size."""

import json
import sys
from pathlib import Path
from typing import Any

import diffusers
import hub
import pytest
import theirs
import torch
from peft import PeftModel
from PIL import Image, ImageDraw
from programs import run

from sdxs.bench.architectures import NAMES, UNETS, WITH_LARGE_DECODER, write, write_control


def parameters(network: Any) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "millions", "digits"),
    [
        ("sdxs-512-paper", 318.70, 2),
        ("sdxs-512-0.9", 328.2, 1),
        ("sdxs-512", 315.75, 2),
        ("sdxs-1024", 745.2, 1),
    ],
)
def test_parameter_counts(name: str, millions: float, digits: int) -> None:
    with torch.device("meta"):
        unet = diffusers.UNet2DConditionModel(**UNETS[name])
    assert round(parameters(unet) / 1e6, digits) == millions


def test_the_tiny_decoder() -> None:
    with torch.device("meta"):
        decoder = diffusers.AutoencoderTiny().decoder
    assert parameters(decoder) == 1_222_531


PAINT = """
import json, re, sys, time
from pathlib import Path
import torch
from PIL import Image
from sdxs import SDXS
folder, out, loaded, asked = sys.argv[1], sys.argv[2], *map(json.loads, sys.argv[3:])
if "control_image" in asked:
    asked["control_image"] = Image.open(asked["control_image"])
start = time.perf_counter()
model = SDXS.load(folder, device="cpu", dtype="float32", safety=False, **loaded)
ready = time.perf_counter()
torch.save(model("a fox in the snow", seed=3, output_type="pt", **asked), out)
painted = time.perf_counter()
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 2**20
print(f"loaded in {ready - start:.1f} s, painted in {painted - ready:.1f} s, peak {peak:.1f} GiB")
"""


def painted(
    folder: Path, capsys: pytest.CaptureFixture[str], loaded: dict[str, Any], **asked: Any
) -> torch.Tensor:
    """Our picture (1, 3, H, W) from a process of its own, whose time and memory are printed."""
    out = folder.parent / "picture.pt"
    asks = json.dumps(loaded), json.dumps(asked)
    result = run(sys.executable, "-c", PAINT, folder, out, *asks)
    assert result.returncode == 0, result.stderr
    with capsys.disabled():
        print(f"\n{' '.join([folder.name, *loaded, *asked])}: {result.stdout.strip()}")
    return torch.load(out)


def close_to_theirs(ours: torch.Tensor, pipeline: Any, **asked: Any) -> None:
    """Both in float32, same seed: 1e-4 of the largest number."""
    pipeline.set_progress_bar_config(disable=True)
    wanted = theirs.painted(pipeline.to(torch.float32), "a fox in the snow", [3], **asked)
    assert (ours - wanted).abs().max() <= 1e-4 * wanted.abs().max()


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_a_picture_at_full_size(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(name, tmp_path / name)
    ours = painted(folder, capsys, {})
    close_to_theirs(ours, diffusers.DiffusionPipeline.from_pretrained(folder))
    if name in WITH_LARGE_DECODER:
        large = painted(folder, capsys, {}, decoder="large")
        vae = diffusers.AutoencoderKL.from_pretrained(folder / "vae_large")
        pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, vae=vae)
        close_to_theirs(large, pipeline)


@pytest.mark.long
def test_a_style_and_a_control_at_full_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write("sdxs-512", tmp_path / "sdxs-512")
    plain = painted(folder, capsys, {})

    hub.write_style(tmp_path / "anime")
    ours = painted(folder, capsys, {"styles": {"it": str(tmp_path / "anime")}}, style="it")
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder)
    pipeline.unet = PeftModel.from_pretrained(pipeline.unet, tmp_path / "anime")
    close_to_theirs(ours, pipeline)
    assert not torch.allclose(ours, plain, atol=0.01)

    control = write_control(tmp_path / "sketch")
    drawing = Image.new("RGB", (512, 512))
    ImageDraw.Draw(drawing).line([(50, 400), (200, 60), (450, 300)], fill="white", width=6)
    drawing.save(tmp_path / "drawing.png")
    asked = {"control": "it", "control_image": str(tmp_path / "drawing.png")}
    ours = painted(folder, capsys, {"controls": {"it": str(control)}}, **asked)
    pipeline = diffusers.StableDiffusionControlNetPipeline.from_pretrained(
        folder, controlnet=diffusers.ControlNetModel.from_pretrained(control)
    )
    close_to_theirs(ours, pipeline, image=drawing)
    assert not torch.allclose(ours, plain, atol=0.01)
