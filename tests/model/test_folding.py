"""What is folded paints the same: at any time step, at the edges, with styles and controls."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from diffusers.models.autoencoders.vae import DecoderTiny
from tiny import build_checkpoint, tiny_unet
from torch import nn
from torch.nn import functional as F

from sdxs.bench.architectures import UNETS
from sdxs.checkpoint.open import Places
from sdxs.model.eager import EagerEngine
from sdxs.model.engine import Decoder
from sdxs.model.folding import (
    Tail,
    Transposed,
    fold,
    fold_decoder,
    fold_timestep,
    fold_upsampling,
    with_shared_weights,
)

CPU = torch.device("cpu")


def close(ours: torch.Tensor, wanted: torch.Tensor) -> bool:
    return bool((ours - wanted).abs().max() <= 1e-5 * wanted.abs().max()) and wanted.std() > 0.01


def asked(unet: Any) -> dict[str, Any]:
    """Inputs of a U-Net, beside x and t."""
    draw = torch.Generator().manual_seed(1)
    states = torch.randn(2, 16, unet.config.cross_attention_dim, generator=draw)
    return {"encoder_hidden_states": states, "return_dict": False}


@pytest.mark.parametrize("layout", [name for name in UNETS if name != "sdxs-1024"])
@pytest.mark.parametrize("t", [999, 500])
@torch.no_grad()
def test_a_time_step_becomes_biases(layout: str, t: int) -> None:
    torch.manual_seed(0)
    heads = {} if layout == "sdxs-512" else {"attention_head_dim": [2, 4, 4]}
    unet = tiny_unet(layout, **heads).eval()
    x = torch.randn(2, 4, 8, 8)
    wanted = unet(x, t, **asked(unet))[0]
    folded = fold_timestep(unet, torch.tensor(t))
    assert close(folded(x, 3, **asked(unet))[0], wanted)  # whatever it is told
    assert not close(unet(x, 3, **asked(unet))[0], wanted)
    assert close(unet(x, t, **asked(unet))[0], wanted)  # as it was
    assert close(fold_upsampling(folded)(x, t, **asked(unet))[0], wanted)
    convolutions = [block.conv for block in unet.modules() if type(block).__name__ == "Upsample2D"]
    kept = [f"{name}.conv" for name, _ in unet.named_modules() if name.endswith("upsamplers.0")]
    assert len(convolutions) == len(kept) == 2
    names = [type(module).__name__ for module in fold_upsampling(unet, kept[:1]).modules()]
    assert names.count("Upsample2D") == names.count("Transposed") == 1


def test_an_embedding_that_hears_the_prompt_stays() -> None:
    from tiny import TINY_SDXL

    unet = tiny_unet("sdxs-1024", **TINY_SDXL)
    assert fold_timestep(unet, torch.tensor(999)) is unet


def test_weights_are_shared_until_they_change() -> None:
    unet = tiny_unet()
    copied = with_shared_weights(unet)
    pairs = zip(unet.parameters(), copied.parameters(), strict=True)
    assert isinstance(copied, UNet2DConditionModel) and all(a is b for a, b in pairs)
    folded = fold_timestep(unet, torch.tensor(999))
    theirs = dict(unet.named_parameters())
    changed = {name for name, value in folded.named_parameters() if theirs[name] is not value}
    assert changed and all(name.endswith("conv1.bias") for name in changed)


@pytest.mark.parametrize("shape", [(2, 3), (5, 4), (8, 8)])
@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_upsampling_and_convolution(shape: tuple[int, int], bias: bool) -> None:
    torch.manual_seed(0)
    layer, x = nn.Conv2d(3, 5, 3, padding=1, bias=bias), torch.randn(2, 3, *shape)
    wanted = layer(F.interpolate(x, scale_factor=2.0, mode="nearest"))
    assert close(Transposed(layer.weight, layer.bias)(x), wanted)
    for first_bias in (True, False):
        first = nn.Conv2d(3, 5, 3, padding=1, bias=first_bias)
        last = nn.Conv2d(5, 2, 3, padding=1, bias=bias)
        wanted = last(first(F.interpolate(x, scale_factor=2.0, mode="nearest")))
        ours = Tail(first, last)(x)
        assert ours.shape == wanted.shape and close(ours, wanted)


@pytest.mark.parametrize("blocks", [(3, 3, 3, 1), (1, 2, 1, 0)])
@torch.no_grad()
def test_a_tiny_decoder(blocks: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    widths = {"encoder_block_out_channels": (8,) * 4, "decoder_block_out_channels": (8,) * 4}
    vae = AutoencoderTiny(num_decoder_blocks=blocks, **widths).eval()
    decoder = Decoder(vae, 1.0, 0.0, torch.float32, 8, 4)
    latents = torch.randn(2, 4, 6, 4)
    wanted = vae.decode(latents).sample
    for transposed in (True, False):
        folded: Any = fold_decoder(decoder, transposed=transposed).network
        assert close(folded.decode(latents).sample, wanted)
        kinds = [type(layer) for layer in folded.decoder.layers]
        assert kinds.count(Tail) == (blocks[-1] == 0)
        assert kinds.count(Transposed) == (transposed and 3 - kinds.count(Tail))
    assert isinstance(vae.decoder, DecoderTiny) and close(vae.decode(latents).sample, wanted)


@pytest.mark.parametrize("kind", ["sd15", "sd21", "sdxl"])
@torch.no_grad()
def test_a_whole_checkpoint(kind: str, tmp_path: Path) -> None:
    places = Places(build_checkpoint(tmp_path / kind, kind=kind, large=True), {}, {})
    networks, readers, one_step = places.read(torch.float32)
    plain = EagerEngine(networks, one_step, CPU, torch.float32)
    folded = EagerEngine(fold(networks, one_step.timestep), one_step, CPU, torch.float32)
    words = plain.encode(readers.ids(["a red house", "tree"]), {})
    noise = torch.randn(2, 4, 8, 12)
    for decoder in ("tiny", "large"):
        shown = [
            engine.decode(engine.denoise(noise, words, {}, []), decoder)
            for engine in (folded, plain)
        ]
        assert close(*shown)


@torch.no_grad()
def test_with_a_style_and_a_control(led_model: Any) -> None:
    plain = led_model._engine
    layers = plain.networks.styles["anime"]["unet"]
    folded = EagerEngine(
        fold(plain.networks, plain.one_step.timestep), plain.one_step, CPU, torch.float32
    )
    from sdxs.model.controls import Control

    words = plain.encode(led_model._readers.ids(["a red house", "tree"]), {})
    noise, picture = torch.randn(2, 4, 8, 8), torch.rand(1, 3, 64, 64)
    control = Control("sketch", torch.tensor([1]), picture, torch.tensor([0.7]))
    asked_ = (noise, words, {"anime": torch.tensor([1.0, 0.5])}, [control])
    assert close(folded.denoise(*asked_), plain.denoise(*asked_))
    name = next(iter(layers))
    heard = dataclasses.replace(
        plain.networks, styles={"it": {"unet": {"time_embedding.linear_1": layers[name]}}}
    )
    unet: Any = fold(heard, plain.one_step.timestep, transposed=False).unet
    assert unet is heard.unet  # a style that adds to the embedding
