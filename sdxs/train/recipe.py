"""The whole recipe, stage after stage: python -m sdxs.train.recipe storybook --preset s

Every stage is a command of its own, printed before it runs, with a folder of its own under the
recipe's. A finished stage is not run again, an unfinished one goes on where it stopped. After a
stage its gate is checked: the number, what is asked, and an end there if it fails.
"""

import argparse
import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdxs.train import (
    autoencoder,
    blocks,
    decoder,
    distill,
    encoders,
    export,
    loop,
    pairs,
    reader,
    score,
    stage,
    straighten,
    teacher,
    text,
    texture,
    warmup,
)

Plan = dict[str, dict[str, object]]  # command -> the options that are not its own defaults
# At 128 pixels, eq. 5's 16 x 16 picture says too little, and the GAN paints what it likes.
DECODER: dict[str, object] = {"scale": 1, "gan": 0.03, "width": 32, "lr": 2e-3}
# The reader's guard is of another width, other data and another seed.
GUARD: dict[str, object] = {"width": 48, "seed": 43}
JUDGED: dict[str, object] = {"adversary": 1.5, "reward": 1, "keep": 0.2}
FEW: dict[str, object] = {"steps": 2, "batch": 2, "pictures": 64, "resolution": 64}
PLANS: dict[str, Plan] = {
    "toy": {  # the same way in a minute, for the tests; it learns nothing
        "text": {"preset": "toy", "steps": 2},
        "autoencoder": FEW,
        "decoder": {**FEW, "held-out": 4},
        "encoders": FEW,
        "teacher": {**FEW, "preset": "toy"},
        "blocks": {"steps": 2, "batch": 2, "pictures": 64},
        "straighten": {"steps": 2, "batch": 2, "pictures": 64},
        "pairs": {"count": 64, "steps": 2},
        "warmup": {"steps": 2},
        "reader": {"steps": 2, "batch": 4, "pictures": 16, "resolution": 64, "held-out": 4},
        "distill": {"steps": 3, "online-first": 1, "pictures": 64, "held-out": 2},
        "texture": {"steps": 2},
        "score": {"count": 4, "pictures": 3, "steps": 2},
    },
    "xs": {
        "text": {"preset": "xs"},
        "teacher": {"preset": "xs"},
        "decoder": DECODER,
        "score": {"pictures": 5000},
    },
    "s": {"decoder": DECODER, "score": {"pictures": 5000}},
}
COMMAND = "command.txt"  # in a stage's folder: what it was begun with


@dataclass(frozen=True)
class Stage:
    """A command, and the folder that it leaves finished."""

    name: str
    main: Callable[[list[str]], None]
    run: Path
    arguments: list[str]

    @property
    def command(self) -> str:
        return self.main.__module__.rpartition(".")[2]

    def __str__(self) -> str:
        return shlex.join(["python", "-m", self.main.__module__, *self.arguments])


@dataclass(frozen=True)
class Gate:
    """A number and what is asked of it: at least, or at most, so much."""

    what: str
    value: float
    least: float | None = None
    most: float | None = None

    @property
    def passed(self) -> bool:
        if self.least is not None:
            return self.value >= self.least
        return self.most is not None and self.value <= self.most

    def __str__(self) -> str:
        asked = f"at least {self.least:g}" if self.least is not None else f"at most {self.most:g}"
        return f"{'passed' if self.passed else 'FAILED'}: {self.what} is {self.value:g}, {asked}"


def stages(root: Path, plan: Plan, *, layout: str, straight: bool, ablations: bool) -> list[Stage]:
    """The stages in order."""
    out: list[Stage] = []

    def add(name: str, main: Callable[[list[str]], None], **options: object) -> Path:
        part = Stage(name, main, root / name, ["--run", str(root / name)])
        for option, value in {**options, **plan.get(part.command, {})}.items():
            part.arguments.extend([f"--{option}"] if value is True else [f"--{option}", str(value)])
        out.append(part)
        return part.run

    words = add("text", text.main)
    vae = add("autoencoder", autoencoder.main)
    model = add("teacher", teacher.main, autoencoder=vae, text=words, layout=layout)
    if layout == "sd":
        model = add("blocks", blocks.main, autoencoder=vae, teacher=model)
    if straight:
        fast = add("straighten", straighten.main, autoencoder=vae, teacher=model)
        made = add("pairs", pairs.main, teacher=fast, guidance=1, steps=4)
    else:
        made = add("pairs", pairs.main, teacher=model)
    add("decoder", decoder.main, autoencoder=vae, pairs=made)
    both: dict[str, object] = {"teacher": model, "pairs": made}
    from_pairs = {**both, "begin": fast} if straight else both
    if ablations:
        add("warmup-mse", warmup.main, **from_pairs, matching=0, mse=1)
        add("warmup-fm", warmup.main, **from_pairs, matching=1, mse=0)
        for kind in ("cnn", "vit"):
            other = add(f"encoder-{kind}", encoders.main, autoencoder=vae, kind=kind)
            add(f"warmup-{kind}", warmup.main, **from_pairs, encoder=other)
    begin = add("warmup", warmup.main, **from_pairs)
    seen = add("reader", reader.main, autoencoder=vae)
    guard = add("guard", reader.main, autoencoder=vae, **GUARD)
    judges: dict[str, object] = {"autoencoder": vae, "reader": seen, "guard": guard}
    if ablations:
        add("warmup-texture", texture.main, **both, begin=begin)
        add("distill-fixed", distill.main, **both, begin=begin, fixed=True)
        add("distill-scores", distill.main, **both, begin=begin)
        for left in ("adversary", "reward"):
            one = {left: JUDGED[left], "keep": JUDGED["keep"]}
            add(f"distill-{left}", distill.main, **both, begin=begin, **judges, **one)
        add("distill-online", distill.main, **both, begin=begin, **judges, **JUDGED,
            critic="online")  # fmt: skip
        add("distill-unscored", distill.main, begin=begin, **judges, scores=0, **JUDGED)
    begin = add("distill", distill.main, **both, begin=begin, **judges, **JUDGED)
    add("texture", texture.main, **both, begin=begin)
    return out


def gates(name: str, root: Path, plan: Plan) -> Iterator[Gate]:
    """What a finished stage must have reached. Scores are taken once and kept beside it."""
    result = stage.read(root / name)
    if result["stage"] in stage.MODELS:
        ours = scored(root, name, plan)
    if name == "text":
        yield Gate("share of attributes read off", result["right"], least=0.99)
    elif name in ("autoencoder", "decoder"):
        yield Gate("PSNR in things' boxes in dB", result["psnr_in_boxes"], least=30)
    elif name in ("reader", "guard"):
        yield Gate("share of attributes read off latents", result["right"], least=0.98)
        yield Gate("of unseen pairs", result["unseen"], least=0.95)
        yield Gate("share of pictures counted right", result["counted"], least=0.97)
        yield Gate("of such with the same thing twice", result["counted_twins"], least=0.9)
    if name == "decoder":
        yield Gate("points of A that it costs", 100 * (result["a_larger"] - result["a"]), most=1)
        yield Gate("times faster than the larger", result["faster"], least=2)
    elif name == "teacher":
        yield Gate("B, lower bound", ours["seen"]["B"]["lower"], least=0.9)
    elif name == "blocks":
        theirs = scored(root, "teacher", plan)
        yield Gate("points of B below the teacher", below(ours, theirs, "B"), most=5)
    elif name == "warmup" and (root / "warmup-mse" / stage.RESULT).exists():
        theirs = scored(root, "warmup-mse", plan)
        yield Gate("sharpness by that of squared errors alone",
                   ratio(ours, theirs, "sharpness"), least=1)  # fmt: skip
    elif name == "texture":
        theirs = scored(root, multi_step(root), plan)
        yield Gate("B, lower bound", ours["seen"]["B"]["lower"], least=0.9)
        yield Gate("B of unseen pairs, lower bound", ours["unseen"]["B"]["lower"], least=0.8)
        yield Gate("points of B below the multi-step model", below(ours, theirs, "B"), most=5)
        yield Gate("Frechet distance by the multi-step model's",
                   ratio(ours, theirs, "frechet"), most=2)  # fmt: skip
        yield Gate("diversity by the multi-step model's",
                   ratio(ours, theirs, "diversity"), least=0.8)  # fmt: skip


def multi_step(root: Path) -> str:
    """The name of the multi-step model that the one-step model was made of."""
    return "blocks" if stage.read(root / "teacher")["layout"] == "sd" else "teacher"


def below(ours: dict[str, Any], theirs: dict[str, Any], score: str) -> float:
    """How many points lower A or B is on captions of seen pairs."""
    return 100 * float(theirs["seen"][score]["share"] - ours["seen"][score]["share"])


def ratio(ours: dict[str, Any], theirs: dict[str, Any], name: str) -> float:
    """Of two numbers of the distribution; NaN, which no gate lets pass, if there is no other."""
    other = theirs["distribution"][name]
    return float(ours["distribution"][name] / other) if other else float("nan")


def scored(root: Path, name: str, plan: Plan) -> dict[str, Any]:
    """The score of a model, taken now if it was not before.

    The last model paints with the tiny decoder, as the checkpoint will, the others with the larger.
    """
    asked: dict[str, Any] = {"count": 1000, **plan["score"]}
    if stage.read(root / name)["stage"] in stage.ONE_STEP:
        asked.pop("steps", None)
    if name == "teacher" and multi_step(root) != "teacher":
        asked["pictures"] = 0  # how they lie as a whole is compared with the model made of it
    drawn_by = root / ("decoder" if name == "texture" else "autoencoder")
    return score.measure(root / name, autoencoder=drawn_by, again=False, **asked)


def begin(part: Stage, before: list[Stage]) -> bool:
    """Whether a stage is still to be run. Raises TrainingError if it is not the one asked for."""
    note, command = part.run / COMMAND, str(part)
    if note.exists() and (known := note.read_text(encoding="utf-8").strip()) != command:
        raise loop.TrainingError(
            f"{part.run} was begun by another command:\n{known}\n"
            "Ask for the same again, remove the folder, or choose another --run"
        )
    if not (part.run / stage.RESULT).exists():
        part.run.mkdir(parents=True, exist_ok=True)
        note.write_text(command + "\n", encoding="utf-8")
        return True
    made = stage.read(part.run)["at"]
    newer = [str(other.run) for other in before if stage.read(other.run)["at"] > made]
    if newer:
        raise loop.TrainingError(f"{part.run} is older than {newer[0]}: remove it to make it again")
    return False


def follow(root: Path, plan: Plan, out: Path, *, past: bool, **choices: Any) -> None:
    """Run what is left of the recipe and export what comes of it. Raises TrainingError."""
    every = stages(root, plan, **choices)
    for number, part in enumerate(every):
        print(f"\n[{number + 1}/{len(every)}] {part.name}\n$ {part}", flush=True)
        if begin(part, every[:number]):
            part.main(part.arguments)
        else:
            print("finished before")
        checked = list(gates(part.name, root, plan))
        for gate in checked:
            print(gate, flush=True)
            if not gate.passed and not past:
                raise loop.TrainingError(
                    f"the recipe ends at {part.name}: {gate.what} is {gate.value:g}. Remove "
                    f"{part.run} and train it longer (--set {part.command}.steps=N), or go on with "
                    "--past-gates"
                )
        if not checked:
            print("no gate")
    export.export(out, model=root / "texture", decoder=root / "decoder", large=root / "autoencoder")
    hours = sum(stage.read(part.run)["hours"] for part in every)
    print(json.dumps({"stages": len(every), "hours": round(hours, 2)}))


def setting(text: str) -> tuple[str, str, str]:
    """An argparse type: COMMAND.OPTION=VALUE."""
    name, given, value = text.partition("=")
    command, dot, option = name.partition(".")
    if not (given and dot and command and option):
        raise argparse.ArgumentTypeError(f"{text} is not of the form warmup.steps=8000")
    return command, option, value


def main(arguments: list[str] | None = None) -> None:
    parser = stage.parser("recipe", __doc__)
    add = parser.add_argument
    add("world", choices=["storybook"], help="what is to be painted")
    add("--preset", choices=PLANS, default="s", help="how large")
    add("--run", type=Path, metavar="FOLDER", help="of all stages (default: runs/WORLD-PRESET)")
    add("--out", type=Path, metavar="FOLDER", help="for the checkpoint (default: one in that)")
    add("--layout", choices=("sd", "sdxs"), default="sd",
        help="of the multi-step model: Stable Diffusion's, or tiny at once")  # fmt: skip
    add("--straight", action="store_true", help="straighten the trajectories before the pairs")
    add("--ablations", action="store_true", help="the branches that docs/training.md compares, too")
    add("--set", type=setting, action="append", default=[], metavar="COMMAND.OPTION=VALUE",
        help="an option of one of the commands, such as warmup.steps=8000")  # fmt: skip
    add("--past-gates", action="store_true", help="say that a gate failed, and go on")
    options = parser.parse_args(arguments)
    root = options.run or Path("runs", f"{options.world}-{options.preset}")
    plan = {command: dict(given) for command, given in PLANS[options.preset].items()}
    for command, option, value in options.set:
        plan.setdefault(command, {})[option] = value
    follow(
        root, plan, options.out or root / "checkpoint", past=options.past_gates,
        layout=options.layout, straight=options.straight, ablations=options.ablations,
    )  # fmt: skip


if __name__ == "__main__":
    stage.command(main)
