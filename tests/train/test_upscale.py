"""The decoder for twice the size: what it keeps, what it is shown, that its windows belong."""

import pytest
import torch

from sdxs.storybook.world.scenes import sample_scenes
from sdxs.train import upscale
from sdxs.train.autoencoder import build

LATENTS = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))


def test_it_keeps_the_encoder_and_shows_twice_the_size() -> None:
    torch.manual_seed(0)
    smaller = build(12).eval()
    larger = upscale.build(smaller, 8, LATENTS).eval()
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        z = smaller.encode(x).latents
        assert torch.equal(larger.encode(x).latents, z)
        assert larger.decode(z).sample.shape == (1, 3, 64, 64)


def test_it_begins_by_repeating_pixels() -> None:
    torch.manual_seed(0)
    smaller = build(12).eval()
    with torch.no_grad():  # at full width all is kept; so the last layer sees no neighbours
        smaller.decoder.layers[-1].weight[
            :, :, [0, 0, 0, 1, 1, 2, 2, 2], [0, 1, 2, 0, 2, 0, 1, 2]
        ] = 0
        shown = upscale.build(smaller, 12, LATENTS).decoder(LATENTS)
        before = smaller.decoder(LATENTS)
    wanted = before.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(shown, wanted, atol=1e-5, rtol=1e-5)


def test_a_saved_one_is_loaded_by_diffusers(tmp_path) -> None:
    torch.manual_seed(0)
    larger = upscale.build(build(12), 8, LATENTS).eval()
    larger.save_pretrained(tmp_path)
    again = type(larger).from_pretrained(tmp_path).eval()
    z = torch.randn(1, 4, 4, 4)
    assert torch.equal(again.decode(z).sample, larger.decode(z).sample)


@pytest.mark.parametrize("around_things", [True, False])
def test_windows_of_latents_and_pictures_are_of_one_place(around_things: bool) -> None:
    """Every cell of these latents says where it is; so does each of its pixels."""
    cells, scale, count = 16, 4, 5
    line = torch.arange(cells).float()
    place = torch.stack(
        (line.repeat(cells, 1), line[:, None].repeat(1, cells), *torch.zeros(2, cells, cells))
    )
    latents = place.repeat(count, 1, 1, 1) + 100 * torch.arange(count).view(-1, 1, 1, 1)
    large = latents.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    scenes = sample_scenes(count, 1) if around_things else None
    generator = torch.Generator().manual_seed(0)
    z, x = upscale.windows({"latents": latents, "pictures": large}, 40, generator, scenes)
    assert z.shape == (40, 4, 8, 8) and x.shape == (40, 4, 32, 32)
    shown = (x[:, :, ::scale, ::scale] + 1) * 127.5
    torch.testing.assert_close(shown, z, atol=1e-3, rtol=0)
    assert len({(float(w[0, 0, 0]), float(w[1, 0, 0])) for w in z % 100}) > 5


def test_the_discriminator_looks_at_pictures_and_at_latents() -> None:
    torch.manual_seed(0)
    judge = upscale.Discriminator(8)
    x, z = torch.randn(2, 3, 64, 64), torch.randn(2, 4, 4, 4)
    alone, both = judge(x, z)
    assert alone.shape == (2, 1, 8, 8) and both.shape == (2, 1, 4, 4)
    other, with_other = judge(x, z + 1)
    assert torch.equal(other, alone) and not torch.allclose(with_other, both, atol=1e-4)


def test_its_cost_is_within_the_limit() -> None:
    """At most 5.5 GFLOP for a picture of 256 pixels; a multiplication and an addition are two."""
    decoder = upscale.build(build(48), upscale.Options.width, LATENTS).decoder.to("meta")
    spent = 0

    def count(layer: torch.nn.Conv2d, _: object, out: torch.Tensor) -> None:
        nonlocal spent
        spent += 2 * layer.weight.numel() * out.shape[-1] * out.shape[-2]

    for layer in decoder.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(count)
    decoder(torch.zeros(1, 4, 16, 16, device="meta"))
    assert 3e9 < spent <= 5.5e9
