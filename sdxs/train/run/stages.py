"""The stages, a row each: what one leaves in its folder, and what the recipe then asks of it.

`stage` reads here whose folders a command takes, `score` and `figures` how a model is sampled,
`recipe` the gates. Knows nothing of networks, nor of how any stage works.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

GUIDANCE = 3.0  # of pairs and scores; 2 and 5 paint less of what captions state


@dataclass(frozen=True)
class Gate:
    """A number, and what is asked of it: at least, or at most, so much.

    number: its place in a stage's result or its model's score, as "seen.caption_accuracy.share".
    below: another, the points that it lies below which count; by: another that it is divided by. Of
    another stage they are written "teacher/…", of the one-step model's teacher "multi-step/…".
    """

    what: str
    number: str
    below: str = ""
    by: str = ""
    least: float | None = None
    most: float | None = None

    def value(self, find: Callable[[str], float | None]) -> float | None:
        """find: what gives a number by its place; None where it is another's that is not there.

        NaN, which no gate lets pass, by a number that is zero.
        """
        ours = find(self.number)
        if not (self.below or self.by) or ours is None:
            return ours
        theirs = find(self.below or self.by)
        if theirs is None:
            return None
        if self.below:
            return 100 * (theirs - ours)
        return ours / theirs if theirs else float("nan")

    def passed(self, value: float) -> bool:
        if self.least is not None:
            return value >= self.least
        return self.most is not None and value <= self.most

    def told(self, value: float) -> str:
        asked = f"at least {self.least:g}" if self.least is not None else f"at most {self.most:g}"
        return f"{'passed' if self.passed(value) else 'FAILED'}: {self.what} is {value:g}, {asked}"


MULTI, FEW, ONE = (f"{steps}-step model" for steps in ("multi", "few", "one"))
SAMPLED = {MULTI: (16, GUIDANCE), FEW: (4, 1.0), ONE: (1, 1.0)}  # steps, guidance


@dataclass(frozen=True)
class Row:
    """leaves: what is in the folder at the end. shipped: whether a checkpoint holds it, too."""

    leaves: str
    shipped: bool = False
    gates: tuple[Gate, ...] = ()


_IN_BOXES = Gate("PSNR in things' boxes in dB", "psnr_in_boxes", least=30)
_CAPTIONS = Gate("caption accuracy, lower bound", "seen.caption_accuracy.lower", least=0.9)
STAGES: dict[str, Row] = {  # of those that leave the same, the one that a remedy names comes first
    "text": Row("text encoder", True, (
        Gate("share of attributes read off", "right", least=0.99),
    )),
    "autoencoder": Row("autoencoder", True, (_IN_BOXES,)),
    "decoder": Row("decoder", True, (
        _IN_BOXES,
        Gate("points of attribute accuracy that it costs", "attribute_accuracy",
             below="attribute_accuracy_larger", most=1),
        Gate("times faster than the larger", "faster", least=2),
    )),
    "upscale": Row("decoder for twice the size", gates=(
        Gate("PSNR in things' boxes in dB", "psnr_in_boxes", least=26),
        Gate("sharpness by that of renders", "sharpness_painted", by="sharpness_renders",
             least=0.8),
    )),
    "encoders": Row("feature encoder"),
    "reader": Row("reader", gates=(
        Gate("share of attributes read off latents", "right", least=0.98),
        Gate("of unseen pairs", "unseen", least=0.95),
        Gate("share of pictures counted right", "counted", least=0.97),
        Gate("of such with the same thing twice", "counted_twins", least=0.9),
    )),
    "blocks": Row(MULTI, gates=(
        Gate("points of caption accuracy below the teacher", "seen.caption_accuracy.share",
             below="teacher/seen.caption_accuracy.share", most=5),
    )),
    "teacher": Row(MULTI, gates=(_CAPTIONS,)),
    "straighten": Row(FEW),
    "pairs": Row("pairs"),
    "warmup": Row(ONE, True, (
        Gate("sharpness by that of squared errors alone", "distribution.sharpness",
             by="warmup-mse/distribution.sharpness", least=1),
    )),
    "distill": Row(ONE, True),
    "texture": Row(ONE, True),
    "average": Row(ONE, True, (
        _CAPTIONS,
        Gate("caption accuracy on unseen pairs, lower bound", "unseen.caption_accuracy.lower",
             least=0.8),
        Gate("points of caption accuracy below the multi-step model", "seen.caption_accuracy.share",
             below="multi-step/seen.caption_accuracy.share", most=5),
        Gate("Frechet distance by the multi-step model's", "distribution.frechet",
             by="multi-step/distribution.frechet", most=2),
        Gate("diversity by the multi-step model's", "distribution.diversity",
             by="multi-step/distribution.diversity", least=0.8),
        Gate("share of pictures with the right number of things", "guard.seen.things.share",
             least=0.97),
        Gate("share of a thing in one colour", "guard.seen.purity.mean", least=0.92),
    )),
    "evaluator": Row("evaluator"),
    "depth": Row("depth network"),
    "control": Row("control"),
    "control_blocks": Row("slim control"),
    "control_stem": Row("control for twice the size", gates=(
        Gate("share of the old stem's variance that is missed", "missed", most=0.1),
    )),
    "steer": Row("one-step control"),
    "style": Row("style"),
    "style_distill": Row("one-step style"),
    "style_average": Row("one-step style"),
    "export": Row("checkpoint"),
}  # fmt: skip


def leaving(*kinds: str) -> tuple[str, ...]:
    """The names of the stages that leave one of these."""
    return tuple(name for name, row in STAGES.items() if row.leaves in kinds)


MULTI_STEP, ONE_STEP = leaving(MULTI), leaving(ONE)
MODELS = leaving(MULTI, FEW, ONE)
EXPORT, CHECKPOINT = "export", "checkpoint"


def taken(found: str | None, names: Sequence[str]) -> bool:
    """Whether what left a folder, one of these stages, `export`, or who knows what a checkpoint,
    is any of `names`, or holds what one of them leaves."""
    rows = [STAGES[name] for name in names]
    held = any(row.shipped for row in rows)
    multi = any(row.leaves in (MULTI, FEW) for row in rows)
    return found in names or (found == EXPORT and held) or (found == CHECKPOINT and (held or multi))


def sampling(made_by: str, steps: int | None = None) -> tuple[int, float]:
    """Steps and guidance that the model of a finished stage, or of a checkpoint, is painted with.

    steps: of a model of many, each of two evaluations; None for the usual.
    """
    row = STAGES["average" if made_by in (EXPORT, CHECKPOINT) else made_by]
    usual, guidance = SAMPLED[row.leaves]
    return (steps if steps and row.leaves == MULTI else usual), guidance
