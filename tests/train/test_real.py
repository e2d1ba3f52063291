"""Checkpoints of Stable Diffusion's kinds through every stage, by command, to one step."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline
from tiny import build_checkpoint, build_multistep

from sdxs.pipeline import SDXS
from sdxs.train.run import stage

FEW = {"steps": 2, "batch": 2}


def ran(command: str, run: Path, **options: Any) -> Path:
    words = [
        word
        for name, value in options.items()
        for word in (f"--{name.replace('_', '-')}", *([] if value is True else [str(value)]))
    ]
    stage.run(command, ["--run", str(run), *words])
    return run


@pytest.mark.parametrize("kind", ["sd15", "sd21", "sdxl"])
def test_to_one_step(kind: str, tmp_path: Path) -> None:
    """Teacher, offline and online model apart; what comes of it is diffusers' picture, too."""
    offline = build_multistep(tmp_path / "offline", kind)
    teacher = build_multistep(tmp_path / "teacher", kind, seed=1, prediction_type="epsilon")
    tiny = build_checkpoint(tmp_path / "tiny")  # for its decoder
    pairs = ran("pairs", tmp_path / "pairs", teacher=teacher, count=64, steps=2, guidance=2)
    small = ran("blocks", tmp_path / "blocks", teacher=offline, pairs=pairs, **FEW)
    straight = ran("straighten", tmp_path / "straight", teacher=small, pairs=pairs, **FEW)
    both = {"teacher": offline, "pairs": pairs}
    begun = ran("warmup", tmp_path / "warmup", begin=small, **both, **FEW)
    ran("warmup", tmp_path / "straightened", begin=straight, **both, **FEW)
    steps = {"steps": 3, "batch": 4, "online_first": 1}
    done = ran("distill", tmp_path / "distill", begin=begun, online=small, **both, **steps)
    done = ran("texture", tmp_path / "texture", begin=done, **both, **FEW)
    out = tmp_path / "out"
    words = ["--out", str(out), "--model", str(done), "--decoder", str(tiny), "--any-words"]
    stage.run("export", words)

    ours = SDXS.load(out, device="cpu", dtype=torch.float32)
    theirs = DiffusionPipeline.from_pretrained(out, torch_dtype=torch.float32)
    theirs.set_progress_bar_config(disable=True)
    noise = torch.randn(1, 4, 8, 8)
    wanted = theirs(
        "a red house", latents=noise.clone(), num_inference_steps=1, guidance_scale=1.0,
        output_type="pt",
    ).images  # fmt: skip
    found = ours("a red house", latents=noise, output_type="pt")
    torch.testing.assert_close((found / 2 + 0.5).clamp(0, 1), wanted, atol=1e-3, rtol=1e-3)
    assert wanted.std() > 0.01
