"""One step of distillation, whatever the student is: a U-Net, a LoRA, a control.

The online model has its turns, then the student has one: its pictures are pulled by the scores
(`segmented`), by every term of a list that is as strong as they are, feature matching before all,
and by what has a strength of its own, such as the supervision by renders (`supervision`). What the
student is and what it paints from is the business of the stages.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from sdxs.model.text import Words
from sdxs.train.parts.denoiser import Denoiser
from sdxs.train.parts.features import Encode
from sdxs.train.parts.learner import Learner, MicroBatch
from sdxs.train.parts.losses import DISTS, feature_matching
from sdxs.train.parts.pairs import Pairs
from sdxs.train.parts.segmented import ALPHA, KAPPA, Balance, Bind, Scores, eased, plainly
from sdxs.train.parts.solver import Model
from sdxs.train.parts.supervision import Renders, Supervision
from sdxs.train.run import loop
from sdxs.train.run.machine import DEVICE, fast, short_attention
from sdxs.train.run.options import ScaledOptions, option, positive

KEPT = 0.1  # share of `keeping`'s weight that is left at last


class DistillationOptions(ScaledOptions, batch=32):
    """What every stage of score distillation is asked."""

    online_steps: int = option(2, "updates of the online model before each", type=positive)
    online_first: int = option(
        80, "updates of the online model alone, before the first with scores", type=positive
    )
    online_lr: float = option(3e-4, "learning rate of the online model")
    dists: bool = option(False, DISTS, recorded="given")

    def check(self, warmup: int = 0) -> None:
        """warmup: steps before the scores. Raises TrainingError where none are left for them."""
        if warmup < self.steps <= warmup + self.online_first:
            first, are = "the first", "are "
            if warmup:
                first, are = f"{warmup} are feature matching's, the next", ""
            raise loop.TrainingError(
                f"{self.steps} steps are not enough: {first} {self.online_first} {are}the online "
                "model's alone"
            )


@dataclass(frozen=True)
class Batch:
    """What a student paints from, on the device.

    student: under this batch's control if it has one. noise: (B, 4, h, w), of B prompts. target:
    latents (N, 4, h, w) that the first N rows should give. bind: what
    the score models see of the batch beside the words. renders: what its last rows should be like.
    """

    student: Denoiser
    noise: Tensor
    words: Words
    target: Tensor
    bind: Bind = plainly
    renders: Renders | None = None


Draw = Callable[[torch.Generator], Batch]


def drawn(
    student: Denoiser, model: Model, data: Pairs | None, paired: int, fresh: int,
    supervision: Supervision | None = None,
) -> Draw:  # fmt: skip
    """Batches of a U-Net that sees nothing but words: rows of pairs, then rows of no pair.

    The latter are of renders where those supervise. data: may be None where there are no others.
    """

    shape = model.latent_shape

    def draw(generator: torch.Generator) -> Batch:
        renders, none = None, torch.empty(0, *shape)
        noise, target, texts = data.batch(paired, generator) if data else (none, none, [])
        if supervision is not None:
            renders = supervision.draw(fresh, generator)
            more, others = torch.randn(renders.real.shape, generator=generator), renders.texts
        elif data is not None:
            more, others = data.fresh(fresh, generator)
        noise, target = torch.cat((noise, more)).to(DEVICE), target.to(DEVICE)
        return Batch(student, noise, model.embed([*texts, *others]), target, renders=renders)

    return draw


@dataclass(frozen=True)
class Term:
    """A loss beside the scores.

    pull: of the student's pictures x0 (B, 4, h, w) and what the stage is asked the loss's gradient,
    and its value, which is logged. strength: the gradient's norm by that of the scores, at first
    and at last.
    """

    name: str
    pull: Callable[[Tensor, Batch, DistillationOptions], tuple[Tensor, float]]
    strength: tuple[float, float]


def matching(encode: Encode, strength: tuple[float, float] = KAPPA) -> Term:
    """Feature matching (eq. 10), the mean over the rows that have a target.

    strength: kappa, of norms over the whole batch; lambda_FM is what it comes to. Where n of N rows
    have a target, such a row is pulled sqrt(N / n) kappa times as hard by this as by the scores,
    any other by the scores alone.
    """

    def pull(x0: Tensor, batch: Batch, options: DistillationOptions) -> tuple[Tensor, float]:
        leaf, count = x0.detach().requires_grad_(), len(batch.target)
        words = batch.words.rows(slice(count))
        with fast():
            loss = feature_matching(encode, leaf[:count], batch.target, words, dists=options.dists)
        with short_attention():
            (gradient,) = torch.autograd.grad(loss, leaf)
        return gradient, loss.item()

    return Term("matching", pull, strength)


# Of the student's pictures x0 (B, 4, h, w), the batch, chance and the share of the steps that are
# done: a loss's gradient, and what is logged of it.
Pull = Callable[[Tensor, Batch, torch.Generator, float], tuple[Tensor, Mapping[str, float]]]


# The same of the rows that are of renders alone: x0, those renders, what is said of them, chance.
PullOnRenders = Callable[
    [Tensor, Renders, Words, torch.Generator], tuple[Tensor, Mapping[str, float]]
]


def on_renders(part: PullOnRenders) -> Pull:
    """What renders ask of the batch's last rows, such as a `Supervision`'s pull."""

    def pull(
        x0: Tensor, batch: Batch, generator: torch.Generator, share: float
    ) -> tuple[Tensor, Mapping[str, float]]:
        gradient = torch.zeros_like(x0)
        if batch.renders is None:
            return gradient, {}
        rows = slice(len(x0) - len(batch.renders.texts), None)
        gradient[rows], logged = part(x0[rows], batch.renders, batch.words.rows(rows), generator)
        return gradient, logged

    return pull


def keeping(before: Callable[[Batch], Denoiser], weight: float) -> Pull:
    """Squared error from what an earlier student paints of a batch, of which a tenth of the weight
    is left at last."""

    def pull(
        x0: Tensor, batch: Batch, generator: torch.Generator, share: float
    ) -> tuple[Tensor, Mapping[str, float]]:
        with torch.no_grad():
            moved = x0 - before(batch).one_step(batch.noise, batch.words)
        strength = eased(share, 1, (weight, KEPT * weight))
        return strength * 2 / moved.numel() * moved, {"moved": moved.square().mean().item()}

    return pull


@dataclass
class Distillation:
    """The steps of a stage, resumable by its `parts`.

    scores: None where only `beside` teaches. draw: a batch of the student's; draw_online: one for
    the online model to follow. terms: the first of them alone makes the warm-up, the first `warmup`
    steps. beside: pulls of their own strength. counted_from: the step from which on the student's
    learning rate runs. below: share of T above which the offline model knows nothing. fixed: hold
    alpha and all strengths. watch: what to log of the student's pictures.
    """

    options: DistillationOptions
    scores: Scores | None
    learner: Learner
    terms: Sequence[Term]
    draw: Draw
    draw_online: Draw
    beside: Sequence[Pull] = ()
    warmup: int = 0
    counted_from: int = 0
    below: float = 1.0
    fixed: bool = False
    watch: Callable[[Tensor], Mapping[str, float]] = lambda x0: {}
    balance: Balance = field(default_factory=Balance)

    @property
    def parts(self) -> dict[str, loop.Stateful]:
        """What has state, the student included."""
        parts = {**self.learner.parts, "balance": self.balance}
        return parts if self.scores is None else {**parts, **self.scores.learner.parts}

    def step(self, index: int, generator: torch.Generator) -> dict[str, float]:
        """One step of the loop; what it logs."""
        logged: dict[str, float] = {}
        if self.scores is not None and index >= self.warmup:
            alone = index < self.warmup + self.options.online_first
            for _ in range(1 if alone else self.options.online_steps):
                logged["online"] = self.follow(index, generator)
            if alone:
                return logged
        done, whole = index - self.counted_from, self.options.steps - self.counted_from

        def one(chance: torch.Generator) -> MicroBatch:
            batch = self.draw(chance)
            ours = batch.student.one_step(batch.noise, batch.words)
            x0 = ours.detach()
            pull, told = self.pull(index, x0, batch, chance)
            if self.scores is not None:
                told = {**told, "pull": pull.norm().item()}
            for other in self.beside:
                more, found = other(x0, batch, chance, done / whole)
                pull, told = pull + more, {**told, **found}
            return MicroBatch(ours, {**told, **self.watch(x0)}, pull)

        factor = loop.trapezoid(done, whole, warmup=50)
        logged |= self.learner.learn(generator, factor, one)
        self.balance.settle()
        return logged

    def pull(
        self, index: int, x0: Tensor, batch: Batch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """What the multi-step model asks: by terms alone at first, then by its scores as well."""
        if self.scores is None:
            return torch.zeros_like(x0), {}
        pulls, logged = {}, {}
        for term in self.terms if index >= self.warmup else self.terms[:1]:
            pulls[term.name], logged[term.name] = term.pull(x0, batch, self.options)
        logged["mse"] = F.mse_loss(x0[: len(batch.target)], batch.target).item()
        if index < self.warmup:
            (pull,) = pulls.values()
            return pull, logged
        pull, weights = self.balanced(index, x0, batch, pulls, generator)
        return pull, logged | weights

    def follow(self, index: int, generator: torch.Generator) -> float:
        """One turn of the online model; its loss."""
        assert self.scores is not None
        scores = self.scores

        def one(chance: torch.Generator) -> MicroBatch:
            batch = self.draw_online(chance)
            with torch.no_grad():
                x0 = batch.student.one_step(batch.noise, batch.words)
            return scores.following(x0, batch.words, chance, batch.bind)

        factor = min(1.0, (index - self.warmup + 1) / 50)
        return scores.learner.learn(generator, factor, one)["online"]

    def balanced(
        self, index: int, x0: Tensor, batch: Batch, pulls: Mapping[str, Tensor],
        generator: torch.Generator,
    ) -> tuple[Tensor, dict[str, float]]:  # fmt: skip
        """Eq. 11: the scores' pull and every term's, each as strong as it should be by now.

        Beside it alpha, and of each term its strength (kappa) and what that comes to (lambda).
        """
        assert self.scores is not None
        first = self.warmup + self.options.online_first
        done, whole = index - first, self.options.steps - first

        def by_now(ends: tuple[float, float]) -> float:
            return ends[0] if self.fixed else eased(done, whole, ends)

        alpha = min(by_now(ALPHA), self.below)
        logged = {"alpha": alpha}
        pull = self.scores.pull(x0, batch.words, alpha, generator, batch.bind) / x0.numel()
        norms = {name: other.norm() for name, other in pulls.items()}
        ratio = self.balance.seen({"scores": pull.norm(), **norms})
        for term in self.terms:
            kappa = by_now(term.strength)
            weight = kappa * ratio("scores", term.name)  # lambda_FM, of feature matching
            pull = pull + weight * pulls[term.name]
            logged |= {f"kappa_{term.name}": kappa, f"lambda_{term.name}": weight}
        return pull, logged
