"""The whole recipe, stage after stage: python -m sdxs.train.recipe storybook --preset s

Every stage is a command of its own, printed before it runs, with a folder of its own under the
recipe's. A finished stage is not run again, an unfinished one goes on where it stopped. After a
stage its gate is checked: the number, what is asked, and an end there if it fails.
"""

import argparse
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sdxs.train.parts.plan import PLANS, Part, Plan, stages
from sdxs.train.run import loop, stage
from sdxs.train.run.options import parser
from sdxs.train.run.stages import MODELS, MULTI_STEP, ONE_STEP, STAGES, Gate

COMMAND = "command.txt"  # in a stage's folder: what it was begun with


def gates(name: str, root: Path, plan: Plan) -> Iterator[tuple[Gate, float]]:
    """What a finished stage must have reached, and what it has.

    Models are scored, once. A branch, in a folder that is not called after its stage, has no gate.
    """

    @functools.cache
    def numbers(of: str) -> dict[str, Any]:
        found = stage.read(root / of)
        return scored(root, of, plan) if found["stage"] in MODELS else found

    def find(place: str) -> float | None:
        of, _, number = place.rpartition("/")
        names = MULTI_STEP if of == "multi-step" else (of or name,)
        there = [name for name in names if (root / name / stage.RESULT).exists()]
        if not there:
            return None
        found: Any = numbers(there[0])
        for key in number.split("."):
            found = found[key]
        return float(found)

    numbers(name)
    for gate in STAGES[name].gates if name in STAGES else ():
        value = gate.value(find)
        if value is not None:
            yield gate, value


def scored(root: Path, name: str, plan: Plan) -> dict[str, Any]:
    """The score of a model, taken now if it was not before.

    The last model paints with the tiny decoder, as the checkpoint will, the others, and the last
    one where the checkpoint's decoder comes after it, with the larger.
    """
    asked: dict[str, object] = {"count": 1000, **plan["score"]}
    if stage.read(root / name)["stage"] in ONE_STEP:
        asked.pop("steps", None)
    if name == "teacher" and stage.read(root / name)["layout"] == "sd":
        asked["pictures"] = 0  # how they lie as a whole is compared with the model made of it
    tiny = name == "average" and (root / "decoder").exists()
    drawn_by = root / ("decoder" if tiny else "autoencoder")
    words = [str(word) for option, value in asked.items() for word in (f"--{option}", value)]
    stage.run("score", [str(root / name), "--autoencoder", str(drawn_by), "--once", *words])
    found: dict[str, Any] = json.loads((root / name / stage.SCORE).read_text(encoding="utf-8"))
    return found


def begin(part: Part, before: list[Part]) -> bool:
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
            stage.run(part.command, part.arguments)
        else:
            print("finished before")
        checked = list(gates(part.name, root, plan))
        for gate, value in checked:
            print(gate.told(value), flush=True)
            if not gate.passed(value) and not past:
                raise loop.TrainingError(
                    f"the recipe ends at {part.name}: {gate.what} is {value:g}. Remove "
                    f"{part.run} and train it longer (--set {part.command}.steps=N), or go on with "
                    "--past-gates"
                )
        if not checked:
            print("no gate")
    made = {"model": "average", "decoder": "decoder", "large": "autoencoder"}
    if choices["upscale"]:  # no other decoder shows latents at its size
        made = {"model": "average", "decoder": "upscale"}
    words = [word for option, name in made.items() for word in (f"--{option}", str(root / name))]
    stage.run("export", ["--out", str(out), *words])
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
    ours = parser("recipe", __doc__)
    add = ours.add_argument
    add("world", choices=["storybook"], help="what is to be painted")
    add("--preset", choices=PLANS, default="s", help="how large")
    add("--run", type=Path, metavar="FOLDER", help="of all stages (default: runs/WORLD-PRESET)")
    add("--out", type=Path, metavar="FOLDER", help="for the checkpoint (default: one in that)")
    add("--layout", choices=("sd", "sdxs"), default="sd",
        help="of the multi-step model: Stable Diffusion's, or tiny at once")  # fmt: skip
    add("--straight", action="store_true", help="straighten the trajectories before the pairs")
    add("--upscale", action="store_true", help="a decoder for twice the size, no tiny one")
    add("--ablations", action="store_true", help="the branches that docs/training.md compares, too")
    add("--extras", action="store_true", help="controls and styles of the model, too")
    add("--set", type=setting, action="append", default=[], metavar="COMMAND.OPTION=VALUE",
        help="an option of one of the commands, such as warmup.steps=8000")  # fmt: skip
    add("--past-gates", action="store_true", help="say that a gate failed, and go on")
    options = ours.parse_args(arguments)
    root = options.run or Path("runs", f"{options.world}-{options.preset}")
    plan = {command: dict(given) for command, given in PLANS[options.preset].items()}
    for command, option, value in options.set:
        plan.setdefault(command, {})[option] = value
    follow(
        root, plan, options.out or root / "checkpoint", past=options.past_gates,
        layout=options.layout, straight=options.straight, upscale=options.upscale,
        ablations=options.ablations, extras=options.extras,
    )  # fmt: skip


if __name__ == "__main__":
    stage.command(main)
