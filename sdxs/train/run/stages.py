"""The stages, a row each: what one leaves in its folder.

`stage` reads here whose folders a command takes, `score` and `figures` how a model is sampled.
Knows nothing of networks, nor of how any stage works.
"""

from collections.abc import Sequence
from dataclasses import dataclass

GUIDANCE = 3.0  # of pairs and scores; 2 and 5 paint less of what captions state
MULTI, FEW, ONE = (f"{steps}-step model" for steps in ("multi", "few", "one"))
SAMPLED = {MULTI: (16, GUIDANCE), FEW: (4, 1.0), ONE: (1, 1.0)}  # steps, guidance


@dataclass(frozen=True)
class Row:
    """leaves: what is in the folder at the end. shipped: whether a checkpoint holds it, too.
    others: whether somebody else's is taken in its place."""

    leaves: str
    shipped: bool = False
    others: bool = False


STAGES: dict[str, Row] = {  # of those that leave the same, the one that a remedy names comes first
    "emoji": Row("captioned pictures"),
    "text": Row("text encoder", True),
    "autoencoder": Row("autoencoder", True),
    "decoder": Row("decoder", True),
    "upscale": Row("decoder for twice the size"),
    "encoders": Row("feature encoder"),
    "reader": Row("reader"),
    "blocks": Row(MULTI),
    "teacher": Row(MULTI),
    "straighten": Row(FEW),
    "pairs": Row("pairs"),
    "warmup": Row(ONE, True),
    "distill": Row(ONE, True),
    "texture": Row(ONE, True),
    "average": Row(ONE, True),
    "evaluator": Row("evaluator"),
    "depth": Row("depth network", others=True),
    "control": Row("control", others=True),
    "control_blocks": Row("slim control"),
    "control_stem": Row("control for twice the size"),
    "steer": Row("one-step control"),
    "style": Row("style", others=True),
    "style_distill": Row("one-step style"),
    "style_average": Row("one-step style"),
    "export": Row("checkpoint"),
}


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
