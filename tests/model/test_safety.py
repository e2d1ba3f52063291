"""The safety checker flags what diffusers' own flags, and nothing flagged is shown on any path."""

import json
import logging
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from edits import config
from PIL import Image
from programs import run
from safetensors.torch import load_file, save_file
from tiny import build_safety_checker, load, noisy_images

from sdxs import SDXS, CheckpointError, InputError, SafetyWarning
from sdxs.checkpoint.checker import load_safety_checker
from sdxs.model.safety import hide
from sdxs.page.answers import Answers
from sdxs.picture import to_pictures
from sdxs.service.about import About, welcome_picture

PROMPTS = ["a red house", "a big blue tree", "ball", "sunset"]
PREPROCESSOR = "feature_extractor/preprocessor_config.json"

Checked = Callable[[float], Path]


@pytest.fixture
def checked(edited: Callable[..., Path]) -> Checked:
    """`checked(share)`: a checkpoint whose own checker flags about that share of all pictures."""

    def make(share: float) -> Path:
        return build_safety_checker(edited(), share)

    return make


def test_it_flags_what_diffusers_flags(checked: Checked) -> None:
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    folder = checked(0.5)
    own = folder / "safety_checker", folder / "feature_extractor"
    theirs = StableDiffusionSafetyChecker.from_pretrained(own[0]).eval()
    processor = CLIPImageProcessorPil.from_pretrained(own[1])
    images = noisy_images(24, seed=1)
    pixels = processor(to_pictures(images), return_tensors="pt").pixel_values
    wanted = theirs(pixels, [np.zeros(1)] * 24)[1]
    assert 0 < sum(wanted) < 24
    ours = load_safety_checker(*own, torch.device("cpu"), torch.float32)
    assert ours.flags(images) == [bool(flag) for flag in wanted]


def test_what_is_flagged_is_blurred_on_every_path(checked: Checked, tiny_model: SDXS) -> None:
    model = load(checked(1))
    assert model.safety == "on"
    plain = tiny_model(PROMPTS, output_type="pt")
    with pytest.warns(SafetyWarning, match="takes for unsafe, .* was blurred") as caught:
        images = model(PROMPTS, output_type="pt")
    assert caught[0].filename == __file__ and caught[0].message.rows == (0, 1, 2, 3)
    assert torch.equal(images, hide(plain, [True] * 4))
    with pytest.warns(SafetyWarning, match="was blurred"):
        picture = model(PROMPTS[0])
    apart = np.asarray(picture).astype(int) - np.asarray(to_pictures(images[:1])[0])
    assert abs(apart).max() <= 1  # the one is blurred after it was rounded
    with pytest.warns(SafetyWarning):
        assert not torch.equal(model(PROMPTS, decoder="large", output_type="pt"), plain)


def test_a_warning_names_the_rows_that_are_blurred(checked: Checked, tiny_model: SDXS) -> None:
    model, seeds = load(checked(0.5)), range(8)
    flags = model._checker.flags(tiny_model([PROMPTS[0]] * 8, seed=seeds, output_type="pt"))
    assert 0 < sum(flags) < 8
    with pytest.warns(SafetyWarning) as caught:
        model([PROMPTS[0]] * 8, seed=seeds)
    rows = tuple(row for row, flagged in enumerate(flags) if flagged)
    assert [warning.message.rows for warning in caught] == [rows]


def test_a_hidden_picture_shows_nothing(tiny_model: SDXS) -> None:
    images = tiny_model(PROMPTS, output_type="pt")
    blurred = hide(images, [True, False, True, False])
    assert torch.equal(blurred[1::2], images[1::2])
    for row in (0, 2):
        steps = (blurred[row].diff(dim=-1).abs().max(), images[row].diff(dim=-1).abs().max())
        assert steps[0] < steps[1] / 4
    assert hide(images, [False] * 4) is images


def test_harmless_pictures_stay(checked: Checked, tiny_model: SDXS) -> None:
    images = load(checked(0))(PROMPTS, output_type="pt")
    assert torch.equal(images, tiny_model(PROMPTS, output_type="pt"))


def test_off_missing_and_needless(
    checked: Checked, tiny_checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "sdxs"):
        assert load(checked(1), safety=False).safety == "off"
        assert "the safety checker is off" in caplog.text
        assert load(tiny_checkpoint).safety == "missing"
        assert "hf download" in caplog.text
        assert SDXS.load("storybook", safety=True).safety == "needless"
        assert "harmless world" in caplog.text
    with pytest.raises(InputError, match="safety must be"):
        load(tiny_checkpoint, safety="on")


@pytest.mark.parametrize("file", ["safety_checker/config.json", "safety_checker/model.safetensors"])
def test_a_damaged_checker(file: str, checked: Checked, caplog: pytest.LogCaptureFixture) -> None:
    folder = checked(1)
    (folder / file).write_bytes(b"{}")
    with pytest.raises(CheckpointError, match=Path(file).name):
        load(folder, safety=True)
    assert load(folder).safety == "missing"
    assert Path(file).name in caplog.text


def test_the_published_layout(checked: Checked, tmp_path: Path) -> None:
    """One folder, the keys of older days, a preprocessor of the first ones."""
    folder = checked(0.5)
    flat = shutil.copytree(folder / "safety_checker", tmp_path / "flat")
    old = {
        key.replace("vision_model.", "vision_model.vision_model.", 1): tensor
        for key, tensor in load_file(flat / "model.safetensors").items()
    }
    old["vision_model.vision_model.embeddings.position_ids"] = torch.arange(5)[None]
    save_file(old, flat / "model.safetensors")
    settings = {
        "crop_size": 32, "do_center_crop": True, "do_convert_rgb": True, "do_normalize": True,
        "do_resize": True, "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711], "resample": 3, "size": 32,
    }  # fmt: skip
    (flat / "preprocessor_config.json").write_text(json.dumps(settings))
    images = noisy_images(16, seed=2)
    new = folder / "safety_checker", folder / "feature_extractor"
    first, last = (
        load_safety_checker(*places, torch.device("cpu"), torch.float32).flags(images)
        for places in ((flat, flat), new)
    )
    assert first == last
    assert 0 < sum(last) < 16


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 10**6}, "beyond any real network"),
        ({"crop_size": {"height": 16, "width": 16}}, "32 x 32"),
        ({"image_std": [0, 0, 0]}, "preprocessor_config.json"),
        ({"image_mean": "wish"}, "cannot be used"),
    ],
)
def test_a_preprocessor_that_does_not_fit(
    settings: dict[str, Any], message: str, checked: Checked
) -> None:
    folder = checked(1)
    with config(folder / PREPROCESSOR) as kept:
        kept |= settings
    with pytest.raises(CheckpointError, match=message):
        load(folder, safety=True)


def test_a_checker_for_endless_pictures(checked: Checked) -> None:
    folder = checked(1)
    with config(folder / "safety_checker/config.json") as settings:
        settings["vision_config"] |= {"image_size": 12_000, "patch_size": 1}
    with pytest.raises(CheckpointError, match="image_size is beyond any real network"):
        load(folder, safety=True)


def test_each_blurred_picture_is_said_to_be() -> None:
    code = "import warnings, sdxs\nfor _ in range(3): warnings.warn('blurred', sdxs.SafetyWarning)"
    assert run(sys.executable, "-c", code).stderr.count("SafetyWarning: blurred") == 3


def test_a_page_does_not_open_with_a_hidden_picture(checked: Checked, tiny_model: SDXS) -> None:
    about = About(examples=("tree",))
    assert welcome_picture(load(checked(1)), about) is None
    assert welcome_picture(tiny_model, about) is not None


def test_nothing_in_a_preprocessor_replaces_code(checked: Checked) -> None:
    folder = checked(0)
    with config(folder / PREPROCESSOR) as settings:
        settings |= {"_preprocess": "x", "preprocess": 1, "__class__": "y"}
    load(folder, safety=True)("tree")


def test_the_page_says_why() -> None:
    import asyncio
    import warnings

    def generate(prompt: str, *, seed: int, **others: Any) -> Image.Image:
        warnings.warn("the picture was blurred: for a reason", SafetyWarning, stacklevel=2)
        return Image.new("RGB", (8, 8))

    answer = asyncio.run(Answers.local(generate).paint({"prompt": "a", "seed": 0}))
    assert answer["note"] == "the picture was blurred: for a reason"
    assert answer["kind"] == "warning" and answer["picture"]
