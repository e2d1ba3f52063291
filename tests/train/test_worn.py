"""Styles of others: what a multi-step model in one paints, what a one-step model begins with."""

import functools
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline
from loras import lora_file
from tiny import build_multistep

from sdxs.checkpoint.lora_file import read_style
from sdxs.model.styles import LowRank
from sdxs.train.parts import denoiser
from sdxs.train.parts.block_removal import removal
from sdxs.train.parts.lora import FILE, NAME, layers_of, lora, product, save_style
from sdxs.train.parts.models import PRESETS, build_large_unet, build_unet
from sdxs.train.parts.solver import Model
from sdxs.train.parts.worn import Worn, begin_near, open_style, origin
from sdxs.train.run.loop import TrainingError


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A multi-step checkpoint of each kind, made once."""
    folder = tmp_path_factory.mktemp("kinds")
    return functools.cache(lambda kind: build_multistep(folder / kind, kind))


@pytest.mark.parametrize(
    ("kind", "dialect"),
    [("sd15", "kohya"), pytest.param("sdxl", "kohya for SDXL", marks=pytest.mark.slow)],
)
def test_a_model_in_one_paints_what_diffusers_paints(
    kind: str, dialect: str, checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The U-Net and the text encoders wear it, with guidance, less than at full strength."""
    monkeypatch.setattr(denoiser, "fast", nullcontext)
    folder = checkpoints(kind)
    file = lora_file(folder, tmp_path / "style.safetensors", dialect)
    plain = Model.load(folder)
    model = plain.wearing(open_style(file, plain.networks, 0.7))
    pipeline = DiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipeline.scheduler = model.solver
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.randn(1, 4, 8, 8)
    texts = ["a red house"]

    def theirs() -> torch.Tensor:
        return pipeline(
            texts, latents=noise.clone(), num_inference_steps=3, guidance_scale=3.0,
            output_type="latent", **({} if kind == "sdxl" else {"negative_prompt": [""]}),
        ).images  # fmt: skip

    before = theirs()
    pipeline.load_lora_weights(file, adapter_name="it")
    pipeline.set_adapters("it", 0.7)
    wanted = theirs()
    ours = model.sample(texts, noise, 3, 3.0)
    torch.testing.assert_close(ours, wanted, rtol=1e-3, atol=1e-3)
    assert (wanted - before).abs().max() > 0.1
    assert model.facts == plain.facts
    heard = plain.wearing(open_style(file, plain.networks, 0.7)).text
    assert not torch.equal(heard.embed(texts).states, plain.embed(texts).states)


def test_one_is_told_from_others_by_what_it_does(checkpoints, tmp_path: Path) -> None:
    folder = checkpoints("sd15")
    networks = Model.load(folder).networks
    names = ("kohya", "diffusers")
    marks = {
        open_style(lora_file(folder, tmp_path / f"{name}.safetensors", name), networks, scale)
        .fingerprint
        for name in names
        for scale in (1.0, 0.5)
    }  # fmt: skip
    assert len(marks) == 2 and any(mark.endswith(" at 0.5") for mark in marks)
    file = lora_file(folder, tmp_path / "words.safetensors", parts=slice(1, 2))
    with pytest.raises(TrainingError, match="adds nothing to the U-Net"):
        open_style(file, networks)


def test_what_text_encoders_wear_goes_with_the_student(checkpoints, tmp_path: Path) -> None:
    folder = checkpoints("sdxl")
    model = Model.load(folder)
    worn = open_style(lora_file(folder, tmp_path / "style.safetensors"), model.networks, 0.7)
    lora(model.unet, 2)
    save_style(model.unet, tmp_path, worn.heard)
    again = read_style(tmp_path / FILE, Model.load(folder).networks)
    assert len(worn.heard) == 2
    assert again.keys() - {"unet"} == worn.heard.keys()
    for network, parts in worn.heard.items():
        assert parts.keys() == again[network].keys()
        for layer, each in parts.items():
            found = product(again[network][layer])
            torch.testing.assert_close(found, product(each), rtol=1e-2, atol=1e-2)
    pipeline = DiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipeline.load_lora_weights(tmp_path, weight_name=FILE)
    encoder = pipeline.components[max(worn.heard)]
    ids = model.text.readers.ids(["a red house"])[-1]
    with torch.no_grad():
        theirs = encoder(ids).last_hidden_state
        mine = model.text.wearing(worn.heard).networks[max(worn.heard)](ids).last_hidden_state
        plain = model.text.networks[max(worn.heard)](ids).last_hidden_state
    torch.testing.assert_close(mine, theirs, rtol=1e-2, atol=2e-2)
    assert (mine - plain).abs().max() > 0.1


def added(rank: int, out: int, *shape: int) -> LowRank:
    return LowRank(torch.randn(rank, *shape), torch.randn(out, rank, *[1] * (len(shape) - 1)))


@pytest.mark.parametrize(("held", "rank"), [(3, 3), (3, 8), (8, 3)])
def test_a_student_begins_with_what_its_rank_holds(held: int, rank: int) -> None:
    """Of what block removal left: an addition of the same layer, the nearest of its rank."""
    torch.manual_seed(0)
    teacher = build_large_unet(PRESETS["toy"], 64)
    unet = removal(teacher.config).left(teacher)
    lora(unet, rank)
    theirs = {
        "up_blocks.1.attentions.2.proj_in": (32, 32, 1, 1),  # which up_blocks.0.attentions.1 is
        "down_blocks.0.resnets.0.conv1": (32, 32, 3, 3),
        "mid_block.resnets.0.conv1": (32, 32, 3, 3),  # which the student lacks
        "conv_in": (16, 4, 3, 3),  # of another model
    }
    style = {layer: added(held, *shape) for layer, shape in theirs.items()}
    assert begin_near(unet, Worn(style, {}, "", 1.0, False), teacher)
    mine = {
        "up_blocks.0.attentions.1.proj_in": "up_blocks.1.attentions.2.proj_in",
        "down_blocks.0.resnets.0.conv1": "down_blocks.0.resnets.0.conv1",
    }
    for name, part in layers_of(unet).items():
        ours = part.get_delta_weight(NAME)
        if name not in mine:
            assert ours.abs().max() == 0
            continue
        wanted = product(style[mine[name]]).flatten(1)
        u, s, v = torch.linalg.svd(wanted, full_matrices=False)
        nearest = (u[:, :rank] * s[:rank]) @ v[:rank]
        torch.testing.assert_close(ours.flatten(1), nearest, rtol=1e-3, atol=1e-3)


def test_a_student_that_is_nothing_of_the_teachers_begins_with_nothing() -> None:
    torch.manual_seed(0)
    teacher, unet = build_large_unet(PRESETS["toy"], 64), build_unet(PRESETS["xs"], 64)
    assert origin(unet, teacher) is None
    lora(unet, 2)
    style = {"conv_in": added(2, 48, 4, 3, 3)}
    assert not begin_near(unet, Worn(style, {}, "", 1.0, False), teacher)
    assert layers_of(unet)["conv_in"].get_delta_weight(NAME).abs().max() == 0
