"""Controls: a ControlNet steers the tiny U-Net exactly as diffusers' pipeline has it steer."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from edits import config
from PIL import Image, ImageOps
from theirs import painted, pipeline_of
from tiny import TINY_SDXL, build_checkpoint, build_control, drawing, load

from sdxs import SDXS, CheckpointError, InputError
from sdxs.arguments import Row
from sdxs.conditions import from_drawing

PROMPTS = ["a red house", "a big blue tree"]
SEEDS = [1, 2]


IMAGES = [drawing(1), drawing(2)]


def paint(model: SDXS, control: Any = None, image: Any = None, **options: Any) -> torch.Tensor:
    """PROMPTS, led by one control and IMAGES where nothing else is said."""
    led = {"control": control, "control_image": image or IMAGES} if control else {}
    return model(**{"prompt": PROMPTS, "seed": SEEDS, "output_type": "pt", **led, **options})


@pytest.fixture(scope="module")
def model(
    tiny_checkpoint: Path, tiny_control: Path, tmp_path_factory: pytest.TempPathFactory
) -> SDXS:
    other = build_control(tmp_path_factory.mktemp("control") / "canny", seed=9)
    return load(tiny_checkpoint, controls={"sketch": tiny_control, "canny": other})


def theirs(checkpoint: Path, sketch: Path, scale: float, style: Path | None = None) -> torch.Tensor:
    import diffusers
    from peft import PeftModel

    xl = (checkpoint / "tokenizer_2").is_dir()
    kind = getattr(diffusers, f"StableDiffusion{'XL' if xl else ''}ControlNetPipeline")
    network = diffusers.ControlNetModel.from_pretrained(sketch)
    pipeline = pipeline_of(checkpoint, kind, controlnet=network)
    if style:
        pipeline.unet = PeftModel.from_pretrained(pipeline.unet, style)
    return painted(pipeline, PROMPTS, SEEDS, image=IMAGES, controlnet_conditioning_scale=scale)


@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_equals_diffusers(
    model: SDXS, tiny_checkpoint: Path, tiny_control: Path, scale: float
) -> None:
    ours = paint(model, "sketch", control_scale=scale)
    assert (ours - theirs(tiny_checkpoint, tiny_control, scale)).abs().max() < 1e-4
    assert (ours - paint(model)).abs().max() > 0.01


def test_a_control_and_a_style_equal_diffusers(
    led_model: SDXS, tiny_checkpoint: Path, tiny_control: Path, peft_folder: Path
) -> None:
    ours = paint(led_model, "sketch", style="anime")
    assert (ours - theirs(tiny_checkpoint, tiny_control, 1.0, peft_folder)).abs().max() < 1e-4
    assert (ours - paint(led_model, "sketch")).abs().max() > 0.01


def test_equals_diffusers_on_sdxl(tmp_path: Path) -> None:
    checkpoint = build_checkpoint(tmp_path / "sdxl", kind="sdxl")
    sketch = build_control(
        tmp_path / "sketch",
        layers_per_block=2,
        transformer_layers_per_block=[1, 1, 2],
        use_linear_projection=True,
        addition_embed_type="text_time",
        **TINY_SDXL,
    )
    model = load(checkpoint, controls={"it": sketch})
    ours = paint(model, "it")
    assert (ours - theirs(checkpoint, sketch, 1.0)).abs().max() < 1e-4
    half = paint(model, [None, "it"], [None, IMAGES[1]])
    plain = paint(model)
    assert (half[0] - plain[0]).abs().max() < 1e-4 > (half[1] - ours[1]).abs().max()
    assert (ours - plain).abs().max() > 0.01


def test_without_a_middle(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """As diffusers has it with a middle block that changes nothing."""
    from diffusers import ControlNetModel

    folder = build_control(tmp_path / "middle", mid_block_type="UNetMidBlock2D")
    network = ControlNetModel.from_pretrained(folder)
    for resnet in network.mid_block.resnets:
        for weight in resnet.conv2.parameters():
            weight.data.zero_()  # what is left is the way around
    network.save_pretrained(folder)
    wanted = theirs(tiny_checkpoint, folder, 1.0)

    network.mid_block = None
    network.register_to_config(mid_block_type=None)
    network.save_pretrained(tmp_path / "none")
    model = load(tiny_checkpoint, controls={"none": tmp_path / "none"})
    ours = paint(model, "none")
    assert (ours - wanted).abs().max() < 1e-4
    assert (ours - paint(model)).abs().max() > 0.01


def test_without_strength_it_is_the_plain_picture(model: SDXS, tiny_model: SDXS) -> None:
    plain = paint(tiny_model)
    assert torch.equal(paint(model), plain)
    assert torch.equal(paint(model, "sketch", drawing(), control_scale=0), plain)


def test_each_row_its_own(model: SDXS) -> None:
    def rows(prompt: Any, seed: Any, control: Any, image: Any, scale: Any) -> torch.Tensor:
        return paint(model, control, image, prompt=prompt, seed=seed, control_scale=scale)

    prompts = [*PROMPTS, "tree", "a green ball"]
    images = [drawing(1), None, drawing(3), drawing(4)]
    controls = ["sketch", None, "canny", "sketch"]
    scales = [1.0, 1.0, 0.5, 2.0]
    batch = rows(prompts, range(4), controls, images, scales)
    for row in range(4):
        alone = rows(prompts[row], row, controls[row], images[row], scales[row])
        assert (batch[row] - alone[0]).abs().max() < 1e-4


def test_a_picture_of_another_size_is_stretched(model: SDXS) -> None:
    large = drawing(5, (256, 256))
    small = large.resize((64, 64), Image.Resampling.LANCZOS)
    assert torch.equal(*(paint(model, "sketch", [image] * 2) for image in (large, small)))
    wide = model("tree", size=(96, 64), control="sketch", control_image=large)
    assert wide.size == (96, 64)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"block_out_channels": (16, 32, 64)}, "block_out_channels is .* made for another model"),
        ({"cross_attention_dim": 48}, "cross_attention_dim is 48"),
        ({"layers_per_block": 2}, "layers_per_block is 2"),
    ],
)
def test_a_control_of_another_model(
    settings: dict[str, Any], message: str, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    folder = build_control(tmp_path / "other", **settings)
    with pytest.raises(CheckpointError, match=message):
        load(tiny_checkpoint, controls={"other": folder})


def test_a_damaged_control(tiny_checkpoint: Path, tiny_control: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_control, tmp_path / "sketch")
    with config(folder / "config.json") as settings:
        settings["_class_name"] = "os.system"
    with pytest.raises(CheckpointError, match=r"os\.system is not supported"):
        load(tiny_checkpoint, controls={"sketch": folder})


def test_a_drawing_becomes_a_control_picture(model: SDXS) -> None:
    ink = ImageOps.invert(drawing(3, (200, 100)))
    made = model.condition("sketch", ink)
    assert made.size == model.size and made.tobytes() == from_drawing(ink, model.size).tobytes()
    assert model.condition("sketch", ink, polarity="ink").tobytes() == made.tobytes()
    assert model.condition("canny", ink, size=(96, 64), low=50, high=90).size == (96, 64)
    assert model("tree", control="sketch", control_image=made).size == model.size


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("skech", {}, "condition must be 'sketch', 'outlines', 'canny'"),
        ("sketch", {"low": 3}, "sketch has no option 'low', it knows polarity"),
        ("outlines", {"polarity": "ink"}, "it knows none"),
        ("sketch", {"size": 50}, "multiple of"),
        ("sketch", {"polarity": 3}, "polarity must be"),
    ],
)
def test_wrong_conditions(model: SDXS, name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        model.condition(name, drawing(), **options)


def test_all_takes_what_there_is(tiny_checkpoint: Path) -> None:
    model = SDXS.load(tiny_checkpoint, controls="all", styles="all", dtype="float32")
    assert model.controls == model.styles == ()


def test_a_control_on_all_rows_needs_no_places() -> None:
    from sdxs.model.controls import controls_of

    rows = [Row("a", 1, control="sketch", control_image=drawing(1)), Row("b", 2)]
    (some,) = controls_of(rows, (64, 64))
    assert some.rows is not None and some.rows.tolist() == [0] and len(some.images) == 1
    (every,) = controls_of([rows[0], rows[0]], (64, 64))
    assert every.rows is None and every.images.shape == (2, 3, 64, 64)
