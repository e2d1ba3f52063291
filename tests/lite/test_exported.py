"""What the light model paints of exported networks is what the eager engine paints of them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from loras import loras_of
from PIL import Image
from tiny import build_checkpoint, drawing, load

from sdxs.engines.compare import PIXELS_32, decibels
from sdxs.export import folder
from sdxs.export.__main__ import main
from sdxs.lite.model import SDXS

PARTS = ("unet", "text_encoder", "text_encoder_2")
ALL_ON: dict[str, Any] = {
    "prompt": ["a red house", "a blue ball", "tree at night"],
    "seed": [0, 2**32, 2**63 - 1],
    "style": "ink",
    "style_scale": [0.5, 1.0, 2.0],
    "control": "sketch",
    "control_image": [drawing(seed) for seed in range(3)],
    "control_scale": [2.0, 0.7, 1.0],
}
ON_THE_WAY = {"to_prompt": ["tree", None, "a blue ball"], "to_seed": [None, 9, 9], "walk": 0.3}
MIXED: dict[str, Any] = {
    **ALL_ON,
    "style": [None, "ink", "ink"],
    "style_scale": [1.0, 0.5, 0.0],
    "control": [None, None, "sketch"],
    "control_image": [None, None, drawing()],
}


def near(ours: Sequence[Image.Image], theirs: Sequence[Image.Image]) -> float:
    """dB of the two that are farthest apart."""
    pairs = zip(ours, theirs, strict=True)
    return min(decibels(*(torch.from_numpy(np.array(one)) for one in pair)) for pair in pairs)


def exported(checkpoint: Path, out: Path, **led: str) -> Path:
    told = [word for kind, places in led.items() for word in (f"--{kind}", places)]
    assert main([str(checkpoint), "--to", "onnx", "--out", str(out), *told]) == 0
    return out


def test_with_style_and_control(
    tmp_path: Path, peft_folder: Path, tiny_control: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two graphs alone: text, and the last one, which has all that the others have."""
    every = folder.graphs_of
    monkeypatch.setattr(folder, "graphs_of", lambda facts: [every(facts)[i] for i in (0, -1)])
    checkpoint = build_checkpoint(tmp_path / "tiny")
    led = {"styles": f"ink={peft_folder}", "controls": f"sketch={tiny_control}"}
    out = exported(checkpoint, tmp_path / "out", **led)
    ours = SDXS.load(out, styles="all", controls="all", engine="lite")
    theirs = load(checkpoint, styles={"ink": peft_folder}, controls={"sketch": tiny_control})
    assert ours.offer == replace(theirs.offer, checkpoint=ours.checkpoint)
    for more in ({}, {"size": (128, 64)}, ON_THE_WAY):
        assert near(ours(**ALL_ON, **more), theirs(**ALL_ON, **more)) > PIXELS_32, more


@pytest.mark.slow
def test_with_all_graphs(tmp_path: Path, peft_folder: Path, tiny_control: Path) -> None:
    checkpoint = build_checkpoint(tmp_path / "tiny")
    led = {"styles": f"ink={peft_folder}", "controls": f"sketch={tiny_control}"}
    out = exported(checkpoint, tmp_path / "out", **led)
    ours = SDXS.load(out, styles="all", controls="all", engine="lite")
    theirs = load(checkpoint, styles={"ink": peft_folder}, controls={"sketch": tiny_control})
    assert near(ours(**MIXED), theirs(**MIXED)) > PIXELS_32
    way = {"prompts": ["a red house", "tree"], "seeds": [1, 2], "frames": 5, "loop": True}
    assert near([*ours.walk(**way)], [*theirs.walk(**way)]) > PIXELS_32


@pytest.mark.slow
def test_the_sdxl_kind_with_a_style_that_changes_its_words(tmp_path: Path) -> None:
    checkpoint = build_checkpoint(tmp_path / "tiny", kind="sdxl")
    for part, lora in zip(PARTS, loras_of(checkpoint), strict=True):
        lora.save_pretrained(tmp_path / "ink" / part)
    out = exported(checkpoint, tmp_path / "out", styles=f"ink={tmp_path / 'ink'}")
    ours = SDXS.load(out, styles="ink", engine="lite")
    theirs = load(checkpoint, styles={"ink": tmp_path / "ink"})
    asked = {"seed": [1, 2, 3], "style": ["ink", None, "ink"], "style_scale": [1.0, 1.0, 0.5]}
    for more in ({}, {"size": (128, 64)}, {**ON_THE_WAY, "style": "ink"}):
        told = {"prompt": ["a red house", "a red house", "tree"], **asked, **more}
        assert near(ours(**told), theirs(**told)) > PIXELS_32, more
