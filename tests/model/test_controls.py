"""Controls: a ControlNet steers the tiny U-Net exactly as diffusers' pipeline has it steer."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from loras import UNET_TARGETS, make_lora
from PIL import Image, ImageDraw, ImageOps
from tiny import TINY_SDXL, build_checkpoint, build_control

from sdxs import SDXS, CheckpointError, InputError
from sdxs.conditions import from_drawing

PROMPTS = ["a red house", "a big blue tree"]
SEEDS = [1, 2]


def drawing(seed: int = 0, size: tuple[int, int] = (64, 64)) -> Image.Image:
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", size)
    points = [tuple(point) for point in rng.integers(0, min(size), (6, 2)).tolist()]
    ImageDraw.Draw(picture).line(points, fill="white", width=3)
    return picture


IMAGES = [drawing(1), drawing(2)]


def load(checkpoint: Path, **controls: Path) -> SDXS:
    names = {name: str(folder) for name, folder in controls.items()}
    return SDXS.load(checkpoint, controls=names, device="cpu", dtype="float32")


def paint(model: SDXS, control: Any = None, image: Any = None, **options: Any) -> torch.Tensor:
    """PROMPTS, led by one control and IMAGES where nothing else is said."""
    led = {"control": control, "control_image": image or IMAGES} if control else {}
    return model(**{"prompt": PROMPTS, "seed": SEEDS, "output_type": "pt", **led, **options})


@pytest.fixture(scope="module")
def model(
    tiny_checkpoint: Path, tiny_control: Path, tmp_path_factory: pytest.TempPathFactory
) -> SDXS:
    other = build_control(tmp_path_factory.mktemp("control") / "canny", seed=9)
    return load(tiny_checkpoint, sketch=tiny_control, canny=other)


def theirs(
    checkpoint: Path, sketch: Path, scale: float, style: Path | None = None, **options: Any
) -> torch.Tensor:
    from diffusers import (
        ControlNetModel,
        StableDiffusionControlNetPipeline,
        StableDiffusionXLControlNetPipeline,
    )
    from peft import PeftModel

    xl = (checkpoint / "tokenizer_2").is_dir()
    kind = StableDiffusionXLControlNetPipeline if xl else StableDiffusionControlNetPipeline
    pipeline = kind.from_pretrained(checkpoint, controlnet=ControlNetModel.from_pretrained(sketch))
    pipeline.set_progress_bar_config(disable=True)
    if style:
        pipeline.unet = PeftModel.from_pretrained(pipeline.unet, style)
    generator = [torch.Generator("cpu").manual_seed(seed) for seed in SEEDS]
    with torch.no_grad():
        latents = pipeline(
            PROMPTS,
            image=IMAGES,
            num_inference_steps=1,
            guidance_scale=1.0,
            generator=generator,
            controlnet_conditioning_scale=scale,
            output_type="latent",
            **options,
        ).images
        return pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample


@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_equals_diffusers(
    model: SDXS, tiny_checkpoint: Path, tiny_control: Path, scale: float
) -> None:
    ours = paint(model, "sketch", control_scale=scale)
    assert (ours - theirs(tiny_checkpoint, tiny_control, scale)).abs().max() < 1e-4
    assert (ours - paint(model)).abs().max() > 0.01


def test_a_control_and_a_style_equal_diffusers(
    tiny_checkpoint: Path, tiny_control: Path, tmp_path: Path
) -> None:
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(tiny_checkpoint / "unet")
    make_lora(unet, UNET_TARGETS).save_pretrained(tmp_path)
    model = SDXS.load(
        tiny_checkpoint, controls={"sketch": str(tiny_control)}, styles={"ink": str(tmp_path)},
        device="cpu", dtype="float32",
    )  # fmt: skip
    ours = paint(model, "sketch", style="ink")
    assert (ours - theirs(tiny_checkpoint, tiny_control, 1.0, tmp_path)).abs().max() < 1e-4
    assert (ours - paint(model, "sketch")).abs().max() > 0.01


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
    model = load(checkpoint, it=sketch)
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
    model = load(tiny_checkpoint, none=tmp_path / "none")
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
    first, second = (
        model("tree", control="sketch", control_image=image, output_type="pt")
        for image in (large, small)
    )
    assert torch.equal(first, second)
    wide = model("tree", size=(96, 64), control="sketch", control_image=large)
    assert wide.size == (96, 64)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"control": "sketsh", "control_image": drawing()}, "did you mean 'sketch'"),
        ({"control": "sketch"}, "needs a picture to follow"),
        ({"control_image": drawing()}, "has no effect without control"),
        ({"control": "sketch", "control_image": "a.png"}, "must be a Pillow picture, not str"),
        ({"control": "sketch", "control_image": drawing(), "control_scale": 3}, "from 0 to 2"),
        ({"control": "sketch", "control_image": [drawing()] * 3}, "3 values for 2 prompts"),
    ],
)
def test_wrong_requests(model: SDXS, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        model(PROMPTS, **wrong)


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
        load(tiny_checkpoint, other=folder)


def test_a_damaged_control(tiny_checkpoint: Path, tiny_control: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_control, tmp_path / "sketch")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "_class_name": "os.system"}))
    with pytest.raises(CheckpointError, match=r"os\.system is not supported"):
        load(tiny_checkpoint, sketch=folder)


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
