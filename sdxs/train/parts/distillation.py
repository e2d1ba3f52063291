"""One step of distillation, whatever the student is: a U-Net, a LoRA, a control.

The online model has its turns, then the student has one: its pictures are pulled by the scores
(`segmented`), by every term of a list that is as strong as they are, feature matching before all,
and by what has a strength of its own, such as the supervision by real pictures (`supervision`).
What the student is and what it paints from (`batches`) is the business of the stages.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from sdxs.train.parts.adversary import Adversary
from sdxs.train.parts.batches import Batch, Draw
from sdxs.train.parts.denoiser import Denoiser
from sdxs.train.parts.features import Encode
from sdxs.train.parts.learner import Learner, MicroBatch
from sdxs.train.parts.losses import DISTS, feature_matching
from sdxs.train.parts.segmented import ALPHA, KAPPA, Balance, Scores, eased
from sdxs.train.parts.supervision import Supervision
from sdxs.train.run import loop
from sdxs.train.run.machine import fast, short_attention
from sdxs.train.run.options import ScaledOptions, option, positive, rate

KEPT = 0.1  # share of `keeping`'s weight that is left at last


class DistillationOptions(ScaledOptions, batch=32):
    """What every stage of score distillation is asked."""

    online_steps: int = option(2, "updates of the online model before each", type=positive)
    online_first: int = option(
        80, "updates of the online model alone, before the first with scores", type=positive
    )
    online_lr: float = option(3e-4, "learning rate of the online model", type=rate)
    dists: bool = option(False, DISTS, recorded="given")
    kappa: tuple[float, ...] = option(
        (), "pull of feature matching, relative to that of the scores, at first and at last "
        f"(default: {KAPPA[0]:g} {KAPPA[1]:g})", type=float, nargs=2, recorded="given",
    )  # fmt: skip

    @property
    def strength(self) -> tuple[float, float]:
        """Of feature matching, at first and at last."""
        first, last = self.kappa or KAPPA
        return first, last

    def check(self, warmup: int = 0) -> None:
        """warmup: steps before the scores. Raises TrainingError where none are left for them, or
        where a micro-batch cannot be halved."""
        if self.at_once < 2:
            raise loop.TrainingError("half of each micro-batch are pairs: it must be 2 or more")
        if min(self.kappa, default=0) < 0:
            raise loop.TrainingError("--kappa below 0 would lead away from the pairs")
        if warmup < self.steps <= warmup + self.online_first:
            first, are = "the first", "are "
            if warmup:
                first, are = f"{warmup} are feature matching's, the next", ""
            raise loop.TrainingError(
                f"{self.steps} steps are not enough: {first} {self.online_first} {are}the online "
                "model's alone"
            )


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


@dataclass(frozen=True)
class Begun:
    """A micro-batch that is painted: of its pictures (B, 4, h, w), which still lead back to the
    student, what the scores ask, and what is logged; its chance."""

    batch: Batch
    pictures: Tensor
    pull: Tensor
    told: dict[str, float]
    chance: torch.Generator


@dataclass
class Distillation:
    """The steps of a stage, resumable by its `parts`.

    scores: None where nothing of the multi-step model teaches. draw: a batch of the student's;
    draw_online: one for the online model to follow. terms: the first of them alone makes the
    warm-up, the first `warmup` steps. supervision: what real pictures teach. beside: pulls of their
    own strength. counted_from: the step from which on the student's learning rate runs. below:
    share of T above which the offline model knows nothing. fixed: hold alpha and all strengths.
    watch: what to log of the student's pictures.
    """

    options: DistillationOptions
    scores: Scores | None
    learner: Learner
    terms: Sequence[Term]
    draw: Draw
    draw_online: Draw
    supervision: Supervision | None = None
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
                logged |= self.follow(index, generator)
            if alone:
                return logged
        done, whole = index - self.counted_from, self.options.steps - self.counted_from
        supervision = self.supervision
        if supervision and supervision.also is not None and index < self.warmup:
            supervision = None

        def ended(begun: Begun) -> MicroBatch:
            batch, pull, told = begun.batch, begun.pull, begun.told
            x0 = begun.pictures.detach()
            found: Mapping[str, float]
            if supervision and batch.real:
                more, rows = torch.zeros_like(x0), batch.last
                more[rows], found = supervision.pull(
                    x0[rows], batch.real, batch.words.rows(rows), begun.chance
                )
                pull, told = pull + more, {**told, **found}
            for other in self.beside:
                more, found = other(x0, batch, begun.chance, done / whole)
                pull, told = pull + more, {**told, **found}
            return MicroBatch(begun.pictures, {**told, **self.watch(x0)}, pull)

        def one(chance: torch.Generator) -> MicroBatch:
            return ended(next(turns, None) or self.begin(index, chance))

        turns: Iterator[Begun] = iter(())
        if supervision and isinstance(supervision.adversary, Adversary):
            chances = loop.split(generator, self.learner.micro_batches)
            begun = [self.begin(index, chance, again=len(chances) > 1) for chance in chances]
            logged |= supervision.adversary.follow(
                each.batch.judged(each.pictures.detach(), each.chance) for each in begun
            )  # of all micro-batches, before any of them is pulled by it
            turns = iter(begun)
        factor = loop.trapezoid(done, whole, warmup=50)
        logged |= self.learner.learn(generator, factor, one)
        self.balance.settle()
        return logged

    def begin(self, index: int, chance: torch.Generator, again: bool = False) -> Begun:
        """Paint a micro-batch. again: keep nothing for the gradient, compute it once more then."""
        batch = self.draw(chance)
        paint, given = batch.student.one_step, (batch.noise, batch.words)
        pictures = checkpoint(paint, *given, use_reentrant=False) if again else paint(*given)
        pull, told = self.pull(index, pictures.detach(), batch, chance)
        if self.scores is not None:
            told = {**told, "pull": pull.norm().item()}
        return Begun(batch, pictures, pull, told, chance)

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

    def follow(self, index: int, generator: torch.Generator) -> dict[str, float]:
        """One turn of the online model; what it logs."""
        assert self.scores is not None
        scores = self.scores

        def one(chance: torch.Generator) -> MicroBatch:
            batch = self.draw_online(chance)
            with torch.no_grad():
                x0 = batch.student.one_step(batch.noise, batch.words)
            found = scores.following(x0, batch.words, chance, batch.bind)
            if self.supervision and batch.real:
                found = self.supervision.beside(found, batch.judged(x0, chance))
            return found

        factor = min(1.0, (index - self.warmup + 1) / 50)
        return scores.learner.learn(generator, factor, one)

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
