"""Controls in training: what they begin as, what they read, what of them is trained."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from sdxs.model.text import Words
from sdxs.train.control_stem import with_larger_stem
from sdxs.train.parts import controlled
from sdxs.train.parts.denoiser import Denoiser
from sdxs.train.parts.models import LAYOUTS, PRESETS, build_scheduler
from sdxs.train.parts.schedule import Schedule
from sdxs.train.run import loop, stage
from sdxs.train.steer import partly_fresh, shown_in

SIDE = 64


def inputs(rows: int = 4) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(rows, 4, 8, 8, generator=generator),
        torch.randint(1000, (rows,), generator=generator),
        torch.randn(rows, 5, PRESETS["toy"].text_width, generator=generator),
        torch.rand(rows, 3, SIDE, SIDE, generator=generator),
    )


def said(unet: torch.nn.Module, x: Tensor, t: Tensor, states: Tensor) -> Tensor:
    return Denoiser(unet, Schedule.of(build_scheduler().config)).predict(x, t, Words(states))


def toy(layout: str = "sdxs") -> torch.nn.Module:
    torch.manual_seed(0)
    return LAYOUTS[layout](PRESETS["toy"], SIDE).eval()


def moved(control: torch.nn.Module) -> torch.nn.Module:
    for name, weight in control.named_parameters():
        if "controlnet" in name:
            weight.data.normal_(std=0.2)
    return control


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_control_begins_as_the_encoder_and_steers_nothing(layout: str) -> None:
    unet = toy(layout)
    full = controlled.full_control(unet)
    x, t, context, pictures = inputs()
    with torch.no_grad():
        plain = said(unet, x, t, context)
        unled = said(controlled.Controlled(unet, full, pictures), x, t, context)
        assert torch.equal(unled, plain)
        ours = full(x, t, context, torch.zeros_like(pictures), return_dict=False)[0]
        assert all(part.abs().max() == 0 for part in ours)
        steered = said(controlled.Controlled(unet, moved(full), pictures), x, t, context)
    assert (steered - plain).abs().max() > 1e-3
    own, theirs = full.state_dict(), unet.state_dict()
    shared = [name for name in own if name.startswith(("conv_in", "down_blocks", "mid_block"))]
    assert shared and all(torch.equal(own[name], theirs[name]) for name in shared)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_of_guided_rows_those_without_text_are_not_steered(layout: str) -> None:
    unet = toy(layout)
    steered = controlled.Controlled(unet, moved(controlled.full_control(unet)), inputs()[3])
    x, t, context, _ = inputs()
    with torch.no_grad():
        once, plain = said(steered, x, t, context), said(unet, x, t, context)
        twice = said(steered, x.repeat(2, 1, 1, 1), t.repeat(2), context.repeat(2, 1, 1))
        same = said(steered, x.repeat(2, 1, 1, 1), t[0], context.repeat(2, 1, 1))[0]
    assert (once - plain).abs().max() > 0.05
    assert (twice - torch.cat((once, plain))).abs().max() < 0.02  # products are in bfloat16
    assert (same - once[0]).abs().max() < 0.02


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_slim_one_keeps_what_is_left(layout: str, tmp_path: Path) -> None:
    full, tiny = moved(controlled.full_control(toy(layout))), toy()
    slim = controlled.slim_control(tiny, full)
    own, given = slim.state_dict(), full.state_dict()
    layers = full.config["layers_per_block"]
    pairs = {  # places of the sums that go to the U-Net: conv_in, three resnets, two halvings
        1: {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5},
        2: {0: 0, 1: 2, 2: 3, 3: 5, 4: 6, 5: 8},
    }[layers]
    assert len(slim.controlnet_down_blocks) == len(pairs)
    for ours, theirs in pairs.items():
        name = "controlnet_down_blocks.{}.weight"
        assert torch.equal(own[name.format(ours)], given[name.format(theirs)])
    assert torch.equal(
        own["down_blocks.1.resnets.0.conv1.weight"], given["down_blocks.1.resnets.0.conv1.weight"]
    )
    if full.mid_block is None:  # of a middle that is gone nothing is kept
        assert torch.equal(own["controlnet_mid_block.weight"], given["controlnet_mid_block.weight"])
    else:
        assert own["controlnet_mid_block.weight"].abs().max() == 0
    assert not any("attention" in name or "mid_block.resnets" in name for name in own)
    count = sum(weight.numel() for weight in slim.parameters())
    assert count < sum(weight.numel() for weight in full.parameters())
    slim.save_pretrained(tmp_path / "control")
    again = controlled.read_control(tmp_path).state_dict()
    assert all(torch.equal(again[name], weight) for name, weight in own.items())
    x, t, context, pictures = inputs()
    with torch.no_grad():
        assert said(controlled.Controlled(tiny, slim, pictures), x, t, context).isfinite().all()


def test_a_slim_control_for_the_embedded_model_can_ship() -> None:
    with torch.device("meta"):
        unet = LAYOUTS["sdxs"](PRESETS["s"], 128)
        slim = controlled.slim_control(unet, controlled.full_control(unet))
    assert 2 * sum(weight.numel() for weight in slim.parameters()) < 6e6


@pytest.mark.parametrize("rho", [0.0, 0.3, 1.0])
def test_part_of_the_noise_is_drawn_anew(rho: float) -> None:
    noise = torch.randn(64, 4, 16, 16, generator=loop.chance(1, 1))
    ours = partly_fresh(noise, rho, loop.chance(1, 2))
    changed = ours != noise
    assert changed.float().mean() == pytest.approx(rho, abs=0.02)
    assert (changed.all(1) == changed.any(1)).all()  # all channels of a place, or none
    assert ours.var() == pytest.approx(1, abs=0.02)


def test_a_control_of_another_model_is_refused(tmp_path: Path) -> None:
    unet = toy()
    stage.finish(tmp_path, "control", 0, control="canny", steers=loop.fingerprint(unet))
    assert controlled.kind_of(tmp_path, unet) == controlled.kind_of(tmp_path, unet, "canny")
    with pytest.raises(loop.TrainingError, match="follows canny, not depth"):
        controlled.kind_of(tmp_path, unet, "depth")
    unet.conv_in.bias.data += 1
    with pytest.raises(loop.TrainingError, match="made for another model"):
        controlled.kind_of(tmp_path, unet)


def test_what_a_control_reads() -> None:
    grey = torch.arange(2 * 4 * 4, dtype=torch.uint8).view(2, 4, 4) * 8
    ours = controlled.control_input(grey)
    assert ours.shape == (2, 3, 4, 4) and ours.min() >= 0 and ours.max() <= 1
    assert torch.equal(ours[:, 0] * 255, grey.float()) and torch.equal(ours[:, 0], ours[:, 2])


def test_a_larger_stem_takes_larger_images_and_leaves_the_rest() -> None:
    unet = toy()
    control = moved(controlled.slim_control(unet, controlled.full_control(unet)))
    larger = with_larger_stem(control, 4)
    x, t, words, images = inputs(2)
    large = images.repeat_interleave(2, 2).repeat_interleave(2, 3)
    down, _ = larger(x, t, words, large, return_dict=False)
    wanted, _ = control(x, t, words, images, return_dict=False)
    assert [part.shape for part in down] == [part.shape for part in wanted]
    larger.controlnet_cond_embedding.forward = lambda seen: control.controlnet_cond_embedding(
        images
    )
    for ours, theirs in zip(larger(x, t, words, large, return_dict=False)[0], wanted, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_thing_that_is_not_drawn_yet_is_held_nowhere() -> None:
    seen, images = torch.zeros(1, 2, 4, 4), torch.zeros(1, 64, 64)
    seen[0, 0, 1:3, 0:2] = seen[0, 1, 1:3, 2:4] = 1
    images[0, 16:48, 0:2] = images[0, 16:48, 30:32] = 255  # the first one's sides
    shown = shown_in(images, seen)
    assert torch.equal(shown[0, 0], seen[0, 0]) and not shown[0, 1].any()
