"""Feature encoders to choose from."""

from pathlib import Path

import pytest
import torch
from tiny import build_multistep

from sdxs.model.text import Words
from sdxs.train.parts.denoiser import added_to
from sdxs.train.parts.features import (
    ENCODERS,
    Tap,
    bottleneck,
    encoder_of,
    load_encoder,
    of_unet,
    save_encoder,
)
from sdxs.train.parts.latents import LABELS
from sdxs.train.parts.losses import feature_matching
from sdxs.train.parts.models import PRESETS, build_unet
from sdxs.train.parts.solver import Model
from sdxs.train.run import machine


def test_encoder_features_are_what_the_unet_computes_itself(unet):
    seen = []
    hooks = [
        block.register_forward_hook(lambda _, __, out: seen.append(out[1][0]))
        for block in unet.down_blocks
    ]
    x, t, context = torch.randn(2, 4, 8, 8), torch.tensor([20, 20]), torch.randn(2, 5, 32)
    with torch.no_grad():
        unet(x, t, context)
        for hook in hooks:
            hook.remove()
        ours = of_unet(unet, x, t, Words(context))
    assert len(ours) == 3
    for a, b in zip(ours, seen, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("kind", ENCODERS)
def test_encoders_are_kept_and_see_what_differs(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    trained = ENCODERS[kind]().eval()
    save_encoder(trained, kind, tmp_path)
    encoder = load_encoder(tmp_path)
    x = torch.randn(2, 4, 16, 16)
    torch.testing.assert_close(encoder(x), trained(x))
    assert encoder(x).shape == (2, sum(LABELS), 8, 8)
    assert encoder(x[..., :8, :8]).shape == (2, sum(LABELS), 4, 4)
    encode = encoder_of(tmp_path, build_unet(PRESETS["toy"], 128))
    words = torch.randn(2, 5, 32)
    assert feature_matching(encode, x, x, words).abs() < 1e-5
    assert feature_matching(encode, x, x.flip(0), words) > 0.1
    with machine.fast():  # as the stages do: both sides by the same kernels
        assert feature_matching(encode, x.clone().requires_grad_(), x, words).abs() < 1e-5
    assert not any(weight.requires_grad for weight in encoder.parameters())


def test_the_unet_is_its_own_encoder_when_none_is_given(unet) -> None:
    """Almost without noise, and told the caption."""
    x, words = torch.randn(2, 4, 8, 8), Words(torch.randn(2, 5, 32))
    tap = Tap(unet, ["down_blocks.2.attentions.0"])
    with torch.no_grad():
        unet(x, torch.tensor([20, 20]), words.states)
        assert torch.equal(encoder_of(None, unet)(x, words)[-1], tap.features.popitem()[1])


@pytest.mark.parametrize("kind", ["sd15", "sdxl", "tiny"])
def test_the_bottleneck_is_that_of_the_whole_unet(kind: str, tmp_path: Path, model: Model) -> None:
    """What its middle gives, or without one its last block down."""
    if kind != "tiny":
        model = Model.load(build_multistep(tmp_path, kind))
    unet, words = model.unet, model.embed(["a red house", "b"])
    x, t = torch.randn(2, *model.latent_shape), torch.tensor([10, 700])
    last = "down_blocks.2" if unet.mid_block is None else "mid_block"
    with torch.no_grad():
        tap = Tap(unet, [last])
        unet(x, t, words.states, added_cond_kwargs=added_to(words, x))
        found = bottleneck(unet, x, t, words)
        torch.testing.assert_close(found, tap.features[last])
