"""DMD2's discriminator: its loss in closed form, whom it trains, and the way that it shows."""

import copy
import math

import pytest
import torch
from torch import nn

from sdxs.model.text import Words
from sdxs.train.parts.segmented import Scores
from sdxs.train.parts.shared import WEIGHT, Shared
from sdxs.train.parts.solver import Model


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_losses_in_closed_form(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of logits that are the latents' first numbers: log(1 + e^-real) + log(1 + e^fake)."""
    made, words = Shared(model), model.embed(["a", "b"])
    monkeypatch.setattr(made, "logits", lambda x0, words, generator: x0[:, 0, 0, 0])
    real, fake = torch.zeros(2, 4, 8, 8), torch.zeros(2, 4, 8, 8)
    real[:, 0, 0, 0], fake[:, 0, 0, 0] = torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 3.0])
    wanted = [math.log1p(math.exp(-x)) for x in (2, 0)], [math.log1p(math.exp(x)) for x in (-1, 3)]
    found = made.following(real, fake, words, generator(0))
    assert found.logged["discriminator"] == pytest.approx(sum(map(sum, wanted)) / 2)
    assert found.loss.item() == pytest.approx(WEIGHT * sum(map(sum, wanted)) / 2)
    other = [math.log1p(math.exp(-x)) for x in (-1, 3)]
    assert made.loss(real, fake, words, generator(0)).item() == pytest.approx(sum(other) / 2)


def test_it_looks_at_noised_latents_of_every_timestep(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def look(unet: nn.Module, x: torch.Tensor, t: torch.Tensor, words: Words) -> torch.Tensor:
        seen.append((x, t))
        return x.new_zeros(len(x), 32, 2, 2)

    monkeypatch.setattr("sdxs.train.parts.shared.bottleneck", look)
    words, zero = model.embed([""]).repeated(400), torch.zeros(400, 4, 8, 8)
    Shared(model).following(zero, zero, words, generator(0))
    (real, t), (fake, other) = seen
    assert t.min() < 20 and t.max() > 980 and not torch.equal(t, other)
    torch.testing.assert_close(t.float().mean(), torch.tensor(499.5), atol=40, rtol=0)
    wanted = (1 - model.schedule.alphas[t]).sqrt()
    torch.testing.assert_close(real.std((1, 2, 3)), wanted, atol=0.05, rtol=0.3)
    assert not torch.equal(real, fake)


def test_the_online_model_learns_along_as_far_as_its_middle(model: Model) -> None:
    """Head and encoder, not the way up; and the student is shown the way to what is real."""
    online = model.with_unet(copy.deepcopy(model.unet))
    made, words = Shared(online), model.embed(["a", "b", "c", "d"])
    learner = Scores(model, online, 1.0, 3e-3, also=made.network).learner
    before = {name: part.clone() for name, part in online.unet.state_dict().items()}
    for step in range(30):
        x = torch.randn(4, 4, 8, 8, generator=generator(step))
        found = made.following(x + 1, x - 1, words, generator(100 + step))
        learner.update(found.loss / WEIGHT, 1.0)
    assert found.logged["discriminator"] < 1 < 2 * math.log(2)
    learnt = {n for n, part in online.unet.named_parameters() if part.grad is not None}
    assert {name.partition(".")[0] for name in learnt} == {
        "conv_in",
        "time_embedding",
        "down_blocks",
    }
    after = online.unet.state_dict()
    assert not any(torch.equal(after[name], before[name]) for name in learnt)
    fake = (x - 1).requires_grad_()
    pulls = [
        torch.autograd.grad(made.loss(x, fake, words, generator(seed)), fake)[0]
        for seed in range(4)
    ]
    assert -torch.stack(pulls).mean() > 0
