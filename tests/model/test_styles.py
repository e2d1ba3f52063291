"""Styles worn: several in a batch, at any strength, from threads, beside controls."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from loras import PROMPTS, close, kohya
from PIL import Image
from safetensors.torch import save_file
from tiny import load

from sdxs import SDXS


@pytest.fixture
def two_styles(tiny_checkpoint: Path, peft_folder: Path, unet_lora: Any, tmp_path: Path) -> SDXS:
    file = tmp_path / "ink.safetensors"
    save_file(kohya(unet_lora, "lora_unet_", 2), file)
    return load(tiny_checkpoint, styles={"anime": peft_folder, "ink": file})


def test_several_styles_in_one_batch(two_styles: SDXS) -> None:
    model = two_styles
    assert model.styles == ("anime", "ink")
    asked = [("anime", 0.4), ("ink", 1.7), (None, 1.0), ("anime", 1.0)]
    styles, scales = [list(column) for column in zip(*asked, strict=True)]
    prompts = [*PROMPTS, *PROMPTS]
    rows = model(prompts, seed=[1, 2, 3, 4], style=styles, style_scale=scales, output_type="pt")
    for row, (style, scale) in enumerate(asked):
        alone = {"seed": row + 1, "style": style, "style_scale": scale, "output_type": "pt"}
        close(rows[row : row + 1], model(prompts[row], **alone))


def test_from_one_strength_to_another_and_back(led_model: SDXS) -> None:
    asked: dict[str, Any] = {"seed": 1, "style": "anime", "output_type": "pt"}
    strong, weak, again = (led_model(PROMPTS[0], style_scale=x, **asked) for x in (0.8, 0.3, 0.8))
    assert torch.equal(strong, again) and not torch.equal(strong, weak)


def test_threads_do_not_wear_each_others_styles(two_styles: SDXS) -> None:
    model = two_styles
    styles = ["anime", None, "ink"]

    def paint(number: int) -> torch.Tensor:
        scale = 0.5 + number / 12
        return model("a tree", style=styles[number % 3], style_scale=scale, output_type="pt")

    alone = [paint(number) for number in range(12)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(paint, range(12)))
    assert all(map(torch.equal, alone, together))


def test_styles_and_controls_in_one_batch(led_model: SDXS) -> None:
    model, image = led_model, Image.effect_noise((64, 64), 90).convert("RGB")
    rows: list[dict[str, Any]] = [
        {"style": "anime"},
        {"control": "sketch", "control_image": image},
        {"style": "anime", "style_scale": 0.4, "control": "sketch", "control_image": image},
        {},
    ]
    usual = {"style": None, "style_scale": 1.0, "control": None, "control_image": None}
    batch = {name: [{**usual, **row}[name] for row in rows] for name in usual}
    seeds = [1, 2, 3, 4]
    together = model(["a red house"] * 4, seed=seeds, output_type="pt", **batch)
    for number, (row, seed) in enumerate(zip(rows, seeds, strict=True)):
        alone = model("a red house", seed=seed, output_type="pt", **row)
        close(together[number : number + 1], alone)
    apart = together.flatten(1)
    assert min((a - b).abs().max() for a, b in itertools.combinations(apart, 2)) > 1e-2
