"""The discriminator of latents and its losses: closed forms, signs, and that it hears words."""

import math

import pytest
import torch

from sdxs.model.text import Words
from sdxs.train.parts import adversary
from sdxs.train.parts.adversary import (
    NOISE,
    Adversary,
    Discriminator,
    FeatureDiscriminator,
    disguised,
)
from sdxs.train.parts.features import encoder_of
from sdxs.train.parts.losses import relativistic, steepness
from sdxs.train.parts.models import PRESETS, build_unet
from sdxs.train.parts.reading import Reader


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_relativistic_loss_in_closed_form() -> None:
    a, b = torch.tensor([2.0, 0.0]), torch.tensor([1.0, 3.0])
    wanted = (math.log1p(math.exp(-1)) + math.log1p(math.exp(3))) / 2
    assert relativistic(a, b).item() == pytest.approx(wanted)
    assert relativistic(a, a).item() == pytest.approx(math.log(2))
    assert relativistic(a + 5, b) < relativistic(a, b) < relativistic(a, b + 5)


def test_the_penalty_in_closed_form() -> None:
    """Of logits w . x summed over places the gradient is w in each: |w|^2 times the places."""
    x = torch.randn(5, 3, 4, 4, requires_grad=True)
    w = torch.tensor([1.0, -2.0, 0.5], requires_grad=True)
    steep = steepness([torch.einsum("c,bchw->b", w, x)], [x])
    assert steep.item() == pytest.approx(16 * 5.25)
    steep.backward()  # by the weights: 2 w times the places
    torch.testing.assert_close(w.grad, 32 * w.detach())


def test_each_picture_is_judged_alone_and_by_its_words() -> None:
    torch.manual_seed(0)
    network = Discriminator(16, width=8)
    x, words = torch.randn(3, 4, 8, 8), Words(torch.randn(3, 5, 16))
    together = network(x, words)
    alone = torch.cat([network(x[i : i + 1], words.rows(slice(i, i + 1))) for i in range(3)])
    assert together.shape == (3,)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(together, network(x, words.rows(torch.tensor([2, 0, 1]))), atol=1e-4)


def test_it_learns_to_tell_apart_and_shows_the_way_to_what_is_real() -> None:
    """Real latents have mean 1, painted ones 0: the student's gradient leads upwards."""
    torch.manual_seed(0)
    made, words = Adversary(Discriminator(16), 1e-3), Words(torch.randn(8, 5, 16))

    def both(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        draw = generator(step)
        return 1 + torch.randn(8, 4, 8, 8, generator=draw), torch.randn(8, 4, 8, 8, generator=draw)

    first = made.follow([(*both(0), words, generator(100))])
    for step in range(1, 40):
        last = made.follow([(*both(step), words, generator(100 + step))])
    assert first["discriminator"] == pytest.approx(math.log(2), abs=0.05)
    assert last["discriminator"] < 0.4
    real, fake = both(99)
    fake.requires_grad_()
    (pull,) = torch.autograd.grad(made.loss(real, fake, words, generator(7)), fake)
    assert -pull.mean() > 0
    assert all(weight.requires_grad for weight in made.network.parameters())
    better = made.loss(real, fake - 50 * pull, words, generator(7))
    assert better < made.loss(real, fake, words, generator(7))


def test_the_students_loss_leaves_the_discriminator_alone() -> None:
    torch.manual_seed(0)
    made = Adversary(Discriminator(16), 1e-3)
    x = torch.randn(2, 4, 8, 8, requires_grad=True)
    made.loss(torch.randn(2, 4, 8, 8), x, Words(torch.randn(2, 5, 16)), generator(0)).backward()
    assert x.grad is not None
    assert all(weight.grad is None for weight in made.network.parameters())


@pytest.mark.parametrize("pooled", [False, True])
def test_two_micro_batches_give_the_gradient_of_one(
    pooled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float64, where chance does not depend on the micro-batch: of loss and both penalties."""
    monkeypatch.setattr(adversary, "NOISE", 0.0)
    monkeypatch.setattr(adversary, "shifted", lambda x, generator: x)
    real, fake = (torch.randn(4, 4, 8, 8, generator=generator(n)).double() for n in (1, 2))
    words = Words(*(torch.randn(4, *n, generator=generator(3)).double() for n in ((5, 16), (24,))))
    words = words if pooled else Words(words.states)

    def gradients(*rows: slice) -> list[torch.Tensor]:
        torch.manual_seed(0)
        network = Discriminator(16, width=8, said_width=24 if pooled else None).double()
        made = Adversary(network, 1e-3, len(rows))
        made.follow((real[row], fake[row], words.rows(row), generator(0)) for row in rows)
        return [weight.grad for weight in network.parameters()]

    whole, parts = gradients(slice(None)), gradients(slice(2), slice(2, 4))
    for ours, wanted in zip(parts, whole, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-10, atol=1e-13)
    assert any(part.abs().max() > 1e-4 for part in whole)


def test_heads_on_a_unet_learn_and_leave_it_alone() -> None:
    torch.manual_seed(0)
    unet = build_unet(PRESETS["toy"], 64)
    before = [weight.clone() for weight in unet.parameters()]
    sizes = unet.config["block_out_channels"]
    network = FeatureDiscriminator(encoder_of(None, unet), sizes, 32, width=8)
    made, words = Adversary(network, 3e-3), Words(torch.randn(4, 5, 32))
    names = {name.partition(".")[0] for name, _ in network.named_parameters()}
    assert names == {"heads", "said", "out"}
    for step in range(12):
        draw = generator(step)
        x = torch.randn(4, 4, 8, 8, generator=draw)
        told = made.follow([(1 + x, -x, words, draw)])
    assert told["discriminator"] < math.log(2)
    assert all(map(torch.equal, unet.parameters(), before))
    assert all(weight.grad is None for weight in unet.parameters())


def test_heads_on_a_reader_see_what_it_sees() -> None:
    torch.manual_seed(0)
    reader = Reader(16).eval().requires_grad_(False)
    network = FeatureDiscriminator(reader.features, reader.sizes, 32, width=8)
    made, words = Adversary(network, 3e-3), Words(torch.randn(4, 5, 32))
    assert {id(part) for part in network.parameters()}.isdisjoint(map(id, reader.parameters()))
    for step in range(12):
        draw = generator(step)
        x = torch.randn(4, 4, 8, 8, generator=draw)
        told = made.follow([(1 + x, -x, words, draw)])
    assert told["discriminator"] < math.log(2)


def test_a_pair_gets_as_much_noise() -> None:
    zero = torch.zeros(64, 4, 8, 8)
    real, fake = (x.std((1, 2, 3)) for x in disguised(zero, zero, generator(0)))
    torch.testing.assert_close(real, fake, atol=0.1, rtol=0)
    assert real.max() == pytest.approx(NOISE, abs=0.1) and real.min() < 0.1
