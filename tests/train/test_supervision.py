"""What renders teach: which rows they pull, what of the reader is asked, and that it is not fooled
cell by cell."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import build_multistep

from sdxs.train.parts import adversary, supervision
from sdxs.train.parts.autoencoders import Autoencoder
from sdxs.train.parts.batches import Batch
from sdxs.train.parts.distillation import KEPT, Distillation, keeping
from sdxs.train.parts.learner import One
from sdxs.train.parts.reading import Reader, Reading
from sdxs.train.parts.solver import Model
from sdxs.train.parts.supervision import Supervision, SupervisionOptions
from sdxs.train.run.loop import TrainingError


class Options(SupervisionOptions, name="supervised", steps=2, batch=2, lr=1e-3, seed=1):
    pass


@pytest.fixture
def renders(given: Path, model: Model, tmp_path: Path) -> Supervision:
    Reader(16).save(tmp_path / "r/reader")
    asked = {"adversary": 1.0, "reward": 1.0, "reader": (tmp_path / "r",), "pictures": 8}
    return Supervision(Options(run=tmp_path, **asked), Autoencoder.load(given / "v"), model)


class Caught:
    """A learner that only looks at what it should learn."""

    micro_batches = 1

    def learn(self, generator: torch.Generator, factor: float, one: One) -> dict[str, float]:
        self.found = one(generator)
        return {}


def test_renders_pull_the_last_rows_alone(renders: Supervision, model: Model) -> None:
    some = renders.draw(3, torch.Generator().manual_seed(0))
    noise, words = torch.randn(5, 4, 8, 8), model.embed(["", "", *some.texts])
    batch, learner = Batch(model, noise, words, noise[:0], real=some), Caught()
    distillation = Distillation(
        renders.options, None, learner, [], lambda _: batch, lambda _: batch, renders
    )  # type: ignore[arg-type]
    before = [weight.clone() for weight in renders.adversary.network.parameters()]
    told = distillation.step(0, torch.Generator().manual_seed(0))
    gradient, logged = learner.found.gradient, learner.found.logged
    assert (gradient[:2] == 0).all() and (gradient[2:] != 0).any(dim=(1, 2, 3)).all()
    assert {"fooling", "present", "counts", "open"} <= logged.keys()
    assert {"discriminator", "steepness"} == told.keys()
    assert not all(map(torch.equal, before, renders.adversary.network.parameters()))


def test_each_weight_is_of_its_own_part(
    renders: Supervision, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pull of both is the pull of one and of the other."""
    some = renders.draw(3, torch.Generator().manual_seed(0))
    x0, words = torch.randn(3, 4, 8, 8), model.embed(some.texts)
    monkeypatch.setattr(Reader, "looked", 0.0)
    for module in (supervision, adversary):
        monkeypatch.setattr(module, "shifted", lambda x, generator: x)
    monkeypatch.setattr("sdxs.train.parts.adversary.NOISE", 0.0)

    def pull(adversary: float, reward: float) -> torch.Tensor:
        folder = renders.options
        weights = {"adversary": adversary, "reward": reward, "reader": folder.reader}
        monkeypatch.setattr(renders, "options", Options(run=folder.run, pictures=8, **weights))
        return renders.pull(x0, some, words, torch.Generator().manual_seed(3))[0]

    one, other, both = pull(1.0, 0.0), pull(0.0, 1.0), pull(2.0, 0.5)
    torch.testing.assert_close(both, 2 * one + 0.5 * other, atol=1e-5, rtol=1e-3)


def test_what_is_not_typed_to_its_end_is_not_asked_for(
    renders: Supervision, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = renders.draw(2, torch.Generator().manual_seed(0))
    cut = dataclasses.replace(some, texts=["a r", "a b"])
    assert renders.missing(some.real, cut, torch.Generator()) == {}
    alone = Options(run=renders.options.run, reward=1.0, reader=renders.options.reader, pictures=8)
    monkeypatch.setattr(renders, "options", alone)
    monkeypatch.setattr(renders, "adversary", None)
    gradient, logged = renders.pull(some.real, cut, torch.zeros(2, 4, 32), torch.Generator())
    assert (gradient == 0).all() and logged == {}


def test_what_is_held_is_asked_for_where_it_is(
    renders: Supervision, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells are shifted along with the latents: a reader that knows both finds nothing missing."""
    some = renders.draw(2, torch.Generator().manual_seed(0))
    texts = [caption.text for caption in some.captions]
    place = torch.zeros(2, 2, 4, 4)
    place[:, 0, 1, 2] = 1
    held = dataclasses.replace(some, texts=texts, held=place)
    latents = torch.zeros(2, 4, 8, 8)
    latents[:, 0] = torch.nn.functional.interpolate(place[:, :1], (8, 8))[:, 0]
    blank = renders.readers[0]

    def knows(z: torch.Tensor) -> Reading:
        kinds = torch.zeros(2, blank(z).kinds.shape[1], 8, 8)
        for row in range(2):
            kinds[row, some.kinds[row, 0]] = 30 * z[row, 0]
        return blank(z)._replace(kinds=kinds)

    knows.looked = 0.0  # type: ignore[attr-defined]
    monkeypatch.setattr(renders, "readers", [knows])
    for seed in range(9):
        missing = renders.missing(latents, held, torch.Generator().manual_seed(seed))
        assert missing["held"].item() == pytest.approx(0, abs=1e-4)
    assert "held" not in renders.missing(latents, some, torch.Generator())


def test_what_is_hard_is_seen_more_often(given: Path, model: Model, tmp_path: Path) -> None:
    asked = {"adversary": 1.0, "pictures": 60, "often": ("star", "house")}
    renders = Supervision(Options(run=tmp_path, **asked), Autoencoder.load(given / "v"), model)
    some = renders.draw(20, torch.Generator().manual_seed(0))
    kinds = [{thing.kind for thing in caption.things} for caption in some.captions]
    assert all(held & {"star", "house"} for held in kinds[:10])
    assert not all(held & {"star", "house"} for held in kinds[10:])


def test_a_shift_is_of_a_cell_at_most() -> None:
    x = torch.arange(36.0).view(1, 1, 6, 6)
    found = {
        tuple(adversary.shifted(x, torch.Generator().manual_seed(seed))[0, 0, 2, 2:4].tolist())
        for seed in range(60)
    }
    assert found == {(v, v + 1) for row in (6, 12, 18) for v in (row + 1, row + 2, row + 3)}


@pytest.mark.parametrize(("share", "left"), [(0.0, 1.0), (1.0, KEPT)])
def test_keeping_is_the_gradient_of_the_squared_error(
    model: Model, share: float, left: float
) -> None:
    noise, words = torch.randn(2, 4, 8, 8), model.embed(["a", "b"])
    x0 = torch.randn(2, 4, 8, 8, requires_grad=True)
    first = model.one_step(noise, words).detach()
    error = (x0 - first).square().mean()
    (wanted,) = torch.autograd.grad(0.3 * left * error, x0)
    batch = Batch(model, noise, words, noise[:0])
    pull = keeping(lambda batch: batch.student, 0.3)
    gradient, logged = pull(x0.detach(), batch, torch.Generator(), share)
    torch.testing.assert_close(gradient, wanted)
    assert logged["moved"] == pytest.approx(error.item())


def test_what_renders_are_encoded_by_is_asked_for(model: Model, tmp_path: Path) -> None:
    options = Options(run=tmp_path, adversary=1.0, pictures=8)
    with pytest.raises(TrainingError, match="--autoencoder is an AutoencoderKL, and renders are"):
        Supervision(options, Autoencoder.load(build_multistep(tmp_path / "kl", "sd15")), model)


@pytest.mark.parametrize(
    "asked", [{"reward": 1.0}, {"often": ("star",)}, {"discriminator": "reader"}]
)
def test_what_is_of_renders_is_not_asked_of_pictures(asked: dict[str, Any], tmp_path: Path) -> None:
    options = Options(run=tmp_path, adversary=1.0, real="pictures", **asked)
    with pytest.raises(TrainingError, match="are of renders, not of --real"):
        options.check_sources("against", "autoencoder")
