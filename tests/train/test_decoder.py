"""The autoencoder and its tiny decoder: eq. 5 against scikit-image, and the discriminator."""

import numpy as np
import pytest
import torch
from skimage.measure import block_reduce

from sdxs.train.autoencoder import build
from sdxs.train.decoder import Discriminator, coarse_l1, proportion, shown
from sdxs.train.decoder import build as build_tiny
from sdxs.train.parts.autoencoders import Autoencoder


def test_the_coarse_loss_agrees_with_scikit_image() -> None:
    generator = torch.Generator().manual_seed(0)
    ours, target = torch.randn(2, 2, 3, 16, 16, generator=generator).double()
    small = [block_reduce(x.numpy(), (1, 1, 8, 8), np.mean) for x in (ours, target)]
    assert coarse_l1(ours, target, 8).item() == pytest.approx(abs(small[0] - small[1]).mean())


def test_detail_finer_than_the_scale_costs_nothing() -> None:
    flat = torch.zeros(1, 3, 16, 16)
    checks = (torch.arange(16)[:, None] + torch.arange(16)) % 2 * 2.0 - 1
    assert coarse_l1(flat + checks, flat, 8) == 0
    assert coarse_l1(flat + 0.5, flat, 8) == 0.5


def test_the_autoencoder_is_eight_times_smaller(vae):
    z = vae.encode(torch.zeros(1, 3, 64, 64)).latents
    assert z.shape == (1, 4, 8, 8)


def test_the_tiny_one_keeps_the_encoder_and_has_a_smaller_decoder(vae) -> None:
    tiny = build_tiny(Autoencoder(vae), 8).eval()
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        z = vae.encode(x).latents
        assert torch.equal(tiny.encode(x).latents, z)
        assert tiny.decode(z).sample.shape == x.shape
    weights = [sum(p.numel() for p in one.decoder.parameters()) for one in (tiny, vae)]
    assert weights[0] < 0.5 * weights[1]


def test_the_larger_one_may_learn_on_itself(vae) -> None:
    own = build_tiny(Autoencoder(vae.requires_grad_(False)), None)
    z = torch.randn(1, 4, 4, 4)
    assert torch.equal(own.decoder(z), vae.decoder(z))
    assert all(weight.requires_grad for weight in own.decoder.parameters())
    torch.nn.init.zeros_(own.decoder.layers[0].weight)
    assert vae.decoder.layers[0].weight.any()


@pytest.mark.parametrize("painted", [0, 2, 3])
def test_what_painted_latents_show_another_decoder_may_say(painted: int, vae) -> None:
    painter, z = build(12).eval(), torch.randn(3, 4, 4, 4)
    with torch.no_grad():
        theirs, own = painter.decoder(z), vae.decoder(z)
    found = shown(z, painted, Autoencoder(painter), Autoencoder(vae))
    wanted = torch.cat((theirs[:painted], own[painted:]))
    torch.testing.assert_close(found, wanted, atol=0.05, rtol=0)  # of bfloat16
    apart = (own - theirs).abs().amax((1, 2, 3))
    assert apart.min() > 0.1  # so that the other one's would not pass


def test_the_discriminator_sees_picture_and_latents() -> None:
    """What a picture looks like is judged beside the latents that it should show."""
    torch.manual_seed(0)
    judge = Discriminator()
    picture, z = torch.randn(1, 3, 64, 64), torch.randn(1, 4, 8, 8)
    with torch.no_grad():
        said = judge(picture, z)
        assert said.shape == (1, 1, 8, 8)
        assert not torch.equal(judge(picture, -z), said)
        assert not torch.equal(judge(-picture, z), said)


def test_both_losses_pull_equally_hard() -> None:
    weight = torch.randn(4, 3, requires_grad=True)
    first, second = (weight**2).sum(), 7 * (weight**3).mean()
    factor = proportion(first, second, weight)
    (own,) = torch.autograd.grad(first, weight)
    (other,) = torch.autograd.grad(factor * second, weight)
    assert other.norm() == pytest.approx(own.norm().item(), rel=1e-4)
