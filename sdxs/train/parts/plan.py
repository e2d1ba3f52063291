"""What the recipe does, stage after stage: which commands, in which order, with which options.

Plain data and names of folders; knows nothing of networks, nor of what became of a stage.
"""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sdxs.conditions import CONDITIONS, CONTROLS
from sdxs.storybook.world.artists import ARTISTS

Add = Callable[..., Path]  # a stage's name, its command, its options: to its folder
Plan = dict[str, dict[str, object]]  # command -> the options that are not its own defaults
# At 128 pixels, eq. 5's 16 x 16 picture says too little, and the GAN paints what it likes.
DECODER: dict[str, object] = {"scale": 1, "gan": 0.03, "width": 32, "lr": 2e-3}
LARGER: dict[str, object] = {"artists": True}  # or it could show no style
# The reader's guard is of another width, other data and another seed; of pictures, since what
# pleases one reader of latents pleases the next.
GUARD: dict[str, object] = {"width": 48, "seed": 43, "shown": True}
# So weighed, both pull about as hard at the latents; at equal weights the reward pulls a hundred
# times as hard, and is all that is learnt: so is one of the two models whose mean is taken.
SUPERVISED: dict[str, object] = {"adversary": 1, "reward": 0.1}
BY_REWARD: dict[str, object] = {"adversary": 1.5, "reward": 1.5, "keep": 0.05}
BY_ADVERSARY: dict[str, object] = {"adversary": 1.5, "reward": 0.3, "lr": 6e-5}
# More of `keep` follows lines better, more of the reward paints more of the caption.
STEERED: dict[str, object] = {"reward": 1, "keep": 20, "lr": 1e-4, "steps": 300}
# A style, as the model itself: the mean of one led by the adversary and one led by the reward.
WORN: dict[str, dict[str, object]] = {
    "real": {"adversary": 2, "reward": 0.3, "steps": 900},
    "stated": {"adversary": 1.5, "reward": 1, "lr": 5e-4, "steps": 600},
}
ROBUST: dict[str, object] = {"robust": 0.12, "lr": 8e-4, "steps": 600}
ABLATIONS: dict[str, dict[str, object]] = {
    **{name: {name: weight} for name, weight in SUPERVISED.items()},
    "both": SUPERVISED,
    "both-unmatched": {**SUPERVISED, "unmatched": True},
    "online": {**SUPERVISED, "discriminator": "online"},
}
SCORE: dict[str, object] = {"pictures": 5000, "guarded": 250}
FEW: dict[str, object] = {"steps": 2, "batch": 2, "pictures": 8, "resolution": 64}
PLANS: dict[str, Plan] = {
    "toy": {  # the same way in a minute, for the tests; it learns nothing
        "text": {"preset": "toy", "steps": 2},
        "autoencoder": {**FEW, "held-out": 4},
        "decoder": {**FEW, "held-out": 4},
        "encoders": FEW,
        "teacher": {**FEW, "preset": "toy"},
        "blocks": {"steps": 2, "batch": 2, "pictures": 8},
        "straighten": {"steps": 2, "batch": 2, "pictures": 8},
        "pairs": {"count": 64, "steps": 2},
        "warmup": {"steps": 2, "batch": 4},
        "reader": {"steps": 2, "batch": 4, "pictures": 8, "resolution": 64, "held-out": 4},
        "distill": {
            "steps": 3,
            "batch": 4,
            "online-first": 1,
            "pictures": 8,
            "held-out": 2,
        },
        "texture": {"steps": 2, "batch": 4},
        "depth": {**FEW, "held-out": 4},
        "control": {"steps": 2, "batch": 2, "pictures": 8},
        "control_blocks": {"steps": 2, "batch": 2, "pictures": 8},
        "control_stem": FEW,
        "steer": {"steps": 4, "batch": 4, "warmup": 1, "online-first": 1, "pictures": 8},
        "style": {"steps": 2, "batch": 2, "rank": 2},
        "style_distill": {
            "steps": 3,
            "batch": 4,
            "online-first": 1,
            "pictures": 8,
            "rank": 2,
        },
        "upscale": {
            "steps": 2,
            "batch": 4,
            "pictures": 8,
            "paintings": 8,
            "held-out": 4,
            "artists": True,
        },
        "score": {"count": 2, "pictures": 2, "guarded": 1, "steps": 2},
    },
    "xs": {
        "text": {"preset": "xs"},
        "teacher": {"preset": "xs"},
        "decoder": DECODER,
        "upscale": LARGER,
        "score": SCORE,
    },
    "s": {"decoder": DECODER, "upscale": LARGER, "score": SCORE},
}


@dataclass(frozen=True)
class Part:
    """A stage's command, and the folder that it leaves finished."""

    name: str
    command: str
    run: Path
    arguments: list[str]

    def __str__(self) -> str:
        return shlex.join(["python", "-m", f"sdxs.train.{self.command}", *self.arguments])


def stages(
    root: Path, plan: Plan, *, layout: str, straight: bool, upscale: bool, ablations: bool,
    extras: bool = False,
) -> list[Part]:  # fmt: skip
    """The stages in order."""
    out: list[Part] = []

    def add(name: str, command: str | None = None, /, **options: object) -> Path:
        part = Part(name, command or name, root / name, ["--run", str(root / name)])
        for option, value in {**options, **plan.get(part.command, {})}.items():
            values = value if isinstance(value, tuple) else () if value is True else (value,)
            part.arguments.extend([f"--{option}", *map(str, values)])
        out.append(part)
        return part.run

    words = add("text")
    vae = add("autoencoder")
    whole = model = add("teacher", autoencoder=vae, text=words, layout=layout)
    if layout == "sd":
        model = add("blocks", autoencoder=vae, teacher=model)
    if straight:
        fast = add("straighten", autoencoder=vae, teacher=model)
        made = add("pairs", teacher=fast, guidance=1, steps=4)
    else:
        made = add("pairs", teacher=model)
    if not upscale:
        add("decoder", autoencoder=vae, pairs=made)
    both: dict[str, object] = {"teacher": model, "pairs": made}
    from_pairs = {**both, "begin": fast} if straight else both
    if ablations:
        add("warmup-mse", "warmup", **from_pairs, matching=0, mse=1)
        add("warmup-fm", "warmup", **from_pairs, matching=1, mse=0)
        for kind in ("cnn", "vit"):
            other = add(f"encoder-{kind}", "encoders", autoencoder=vae, kind=kind)
            add(f"warmup-{kind}", "warmup", **from_pairs, encoder=other)
    begin = add("warmup", **from_pairs)
    first = add("reader", autoencoder=vae)
    read = (
        add("reader-shown", "reader", autoencoder=vae, shown=True),
        add("reader-robust", "reader", autoencoder=vae, begin=first, **ROBUST),
    )
    guard = add("guard", "reader", autoencoder=vae, **GUARD)
    renders: dict[str, object] = {"autoencoder": vae, "reader": read}
    if ablations:
        add("warmup-texture", "texture", **both, begin=begin)
        add("distill-fixed", "distill", **both, begin=begin, fixed=True)
        add("distill-unmatched", "distill", **both, begin=begin, unmatched=True)
        supervised = {**both, **renders, "begin": begin}
        for name, how in ABLATIONS.items():
            branch = add(f"distill-{name}", "distill", **supervised, **how)
            add(f"texture-{name}", "texture", **both, begin=branch)
        add("distill-unscored", "distill", **renders, begin=begin, **SUPERVISED)
    begin = add("distill", **both, begin=begin)
    begin = add("texture", **both, begin=begin)
    renders["guard"] = guard
    stated = add("distill-stated", "distill", **renders, begin=begin, **BY_REWARD)
    real = add("distill-real", "distill", **renders, begin=stated, against=stated, **BY_ADVERSARY)
    last = add("average", models=(stated, real))
    larger = add("upscale", autoencoder=vae, model=last) if upscale else None
    if extras:
        drawn = controls(add, teacher=whole, tiny=model, student=last, pairs=made,
                         autoencoder=vae, larger=larger, reader=read)  # fmt: skip
        styles(add, teacher=whole, student=last, autoencoder=vae, shown=larger or vae, drawn=drawn)
    return out


def controls(
    add: Add, *, teacher: Path, tiny: Path, student: Path, pairs: Path, autoencoder: Path,
    larger: Path | None, reader: tuple[Path, ...],
) -> Path:  # fmt: skip
    """Those of the one-step model `student`; at twice the size where `larger` shows its latents.

    To the sketch's folder.
    """
    sees, last = add("depth"), {}
    for kind in CONTROLS:
        of: dict[str, object] = {"depth": sees} if CONDITIONS[kind].sees_depth else {}
        given: dict[str, object] = {"teacher": teacher, "autoencoder": autoencoder, **of}
        full = add(f"control-{kind}", "control", control=kind, **given)
        slim = add(f"slim-{kind}", "control_blocks", control=full, tiny=tiny, **given)
        told: dict[str, object] = {"full": full, "pairs": pairs}
        last[kind] = add(f"steer-{kind}", "steer", begin=slim, student=student, **told, **given)
        if larger:
            stem = add(f"stem-{kind}", "control_stem", begin=last[kind], autoencoder=larger, **of)
            last[kind] = add(f"larger-{kind}", "steer", begin=stem, student=student,
                             autoencoder=larger, reader=reader, **STEERED, **of)  # fmt: skip
    return last["sketch"]


def styles(
    add: Add, *, teacher: Path, student: Path, autoencoder: Path, shown: Path, drawn: Path
) -> None:
    """Those of the one-step model `student`, each of thirty pictures: by scores, and from there by
    renders, half of them under the control in `drawn`, which was made for the decoder of `shown`.
    """
    reader = add("reader-artists", "reader", autoencoder=autoencoder, artists=True)
    for artist in ARTISTS:
        made = add(f"style-{artist}", "style", artist=artist, teacher=teacher,
                   autoencoder=autoencoder)  # fmt: skip
        given: dict[str, object] = {"teacher": teacher, "style": made}
        pairs = add(f"pairs-{artist}", "pairs", **given)
        worn = add(f"worn-{artist}", "style_distill", student=student, pairs=pairs, **given)
        shown_by = [
            add(f"{name}-{artist}", "style_distill", begin=worn, student=student, artist=artist,
                autoencoder=shown, reader=reader, control=drawn, **how)
            for name, how in WORN.items()
        ]  # fmt: skip
        add(f"mean-{artist}", "style_average", styles=tuple(shown_by))
