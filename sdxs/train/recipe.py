"""A whole recipe, stage after stage: python -m sdxs.train.recipe storybook --preset s

A recipe is a TOML file, or the name of one in `recipes/`. Every stage is a command of its own,
printed before it runs, with a folder of its own under the recipe's. A finished stage is not run
again, an unfinished one goes on where it stopped. After a stage its gates are checked: the number,
what is asked, and an end there if it fails.
"""

import argparse
import contextlib
import functools
import importlib
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sdxs.train.parts import recipe_file
from sdxs.train.parts.blueprints import published
from sdxs.train.parts.commands import PRESET, Chosen, Part, folder, parts, unasked
from sdxs.train.parts.footprint import footprint
from sdxs.train.parts.gates import Gate
from sdxs.train.parts.recipe_file import Recipe
from sdxs.train.parts.rehearsal import held, rehearse
from sdxs.train.parts.stand_ins import full_size
from sdxs.train.run import loop, ranks, stage
from sdxs.train.run.options import ALL_AT_ONCE, ScaledOptions, parser, positive
from sdxs.train.run.stages import EXPORT

COMMAND = "command.txt"  # in a stage's folder: what it was begun with


def reached(part: Part, every: list[Part]) -> Iterator[tuple[Gate, float]]:
    """What a finished stage must have reached, and what it has. Models are scored, once."""
    by_name = {other.name: other for other in every}

    @functools.cache
    def numbers(of: str) -> dict[str, Any]:
        other = by_name[of]
        return scored(other) if other.scoring else stage.read(other.run)

    def find(place: str) -> float:
        of, _, number = place.rpartition("/")
        found: Any = numbers(of or part.name)
        for key in number.split("."):
            if not isinstance(found, dict) or key not in found:
                raise loop.TrainingError(
                    f"{part.name}: a gate asks for {number}, which the stage does not say: "
                    f"{recipe_file.near(key, list(found) if isinstance(found, dict) else [])}"
                )
            found = found[key]
        return float(found)

    if part.scoring:
        numbers(part.name)
    for gate in part.gates:
        yield gate, gate.value(find)


def scored(part: Part) -> dict[str, Any]:
    """The score of a model, taken now if it was not before."""
    stage.run("score", [*part.scoring, "--once"])
    found: dict[str, Any] = json.loads((part.run / stage.SCORE).read_text(encoding="utf-8"))
    return found


def begin(part: Part) -> bool:
    """Whether a stage is still to be run. Raises TrainingError if it is not the one asked for."""
    if part.command == EXPORT:  # takes seconds, and what was there is replaced
        return True
    note, command = part.run / COMMAND, str(part)
    begun = any(path != note for path in part.run.glob("*"))
    if begun and note.exists() and (known := note.read_text(encoding="utf-8").strip()) != command:
        raise loop.TrainingError(
            f"{part.run} was begun by another command:\n{known}\nnot by\n{command}\n"
            "Ask for the same again, remove the folder, or choose another --run"
        )
    if not (part.run / stage.RESULT).exists():
        part.run.mkdir(parents=True, exist_ok=True)
        note.write_text(command + "\n", encoding="utf-8")
        return True
    made = stage.read(part.run)["at"]
    newer = [str(other) for other in part.after if stage.read(other).get("at", "") > made]
    if newer:
        raise loop.TrainingError(f"{part.run} is older than {newer[0]}: remove it to make it again")
    return False


def follow(every: list[Part], *, past: bool) -> None:
    """Run what is left of the stages. Raises TrainingError where one fails, or its gate."""
    for number, part in enumerate(every, 1):
        print(f"\n[{number}/{len(every)}] {part.name}\n$ {part}", flush=True)
        if begin(part):
            stage.run(part.command, part.arguments)
        else:
            print("finished before")
        checked = list(reached(part, every))
        for gate, value in checked:
            print(gate.told(value), flush=True)
            if not gate.passed(value) and not past:
                raise loop.TrainingError(
                    f"the recipe ends at {part.name}: {gate.what} is {value:g}. Remove "
                    f"{part.run} and train it longer (--set {part.name}.steps=N), or go on with "
                    "--past-gates"
                )
        if not checked:
            print("no gate")
    hours = sum(stage.read(part.run).get("hours", 0) for part in every)
    print(json.dumps({"stages": len(every), "hours": round(hours, 2)}))


def show(every: list[Part]) -> None:
    """Print what would be run, and what is asked of it."""
    for number, part in enumerate(every, 1):
        print(f"\n[{number}/{len(every)}] {part.name}\n$ {part}")
        for gate in part.gates:
            print(f"gate: {gate.what}, {gate.asked}")
    print("\nall in order; nothing was run")


def weigh(recipe: Recipe, choice: Chosen, root: Path, world: int) -> Iterator[str]:
    """A table of what every stage holds: its networks in millions of parameters, and of a rank
    gigabytes of each kind."""
    kinds = list(footprint([], ALL_AT_ONCE))
    heads = ["stage", "learn, M", "frozen, M", *kinds, "in all, GB"]
    yield "| " + " | ".join(heads) + " |"
    yield "| --- |" + " --: |" * (len(heads) - 1)
    stood_in: dict[str, str] = {}
    every = held(recipe, lambda at: parts(recipe, choice, at), root)
    for part, asked, networks in tqdm(every, "stages", leave=False, dynamic_ncols=True):
        stood_in |= {word: kind for word in part.arguments if (kind := published(word))}
        scaled = isinstance(asked, ScaledOptions)
        sizes = footprint(
            networks, asked.scale if scaled else ALL_AT_ONCE,
            in_bf16=scaled and asked.frozen_dtype == "bfloat16",
            ranks=world if scaled and asked.fsdp else 1,
        )  # fmt: skip
        millions = [sum(each.learning for each in networks) / 1e6]
        millions.append(sum(each.parameters for each in networks) / 1e6 - millions[0])
        cells = [f"{number:,.2f}" for number in millions]
        cells += [f"{size / 1e9:.2f}" for size in (*sizes.values(), sum(sizes.values()))]
        yield "| " + " | ".join([part.name, *cells]) + " |"
    yield "\nof settings alone, activations not counted"
    for name, kind in stood_in.items():
        yield f"{name}: the shape of {kind} as it was published"


def measure(recipe: Recipe, choice: Chosen, name: str) -> None:
    """A dry run of a stage at full size, with random weights where settings are all there is."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        part, asked = full_size(recipe, lambda at: parts(recipe, choice, at), here, name)
        if not isinstance(asked, ScaledOptions):
            raise recipe.wrong("--measure", f"{part.command} has no dry run")
        command = importlib.import_module(f"sdxs.train.{part.command}")
        with contextlib.suppress(stage.Ended):
            command.train(replace(asked, dry_run=True))


def setting(text: str) -> tuple[str, str, Any]:
    """An argparse type: STAGE.OPTION=VALUE, or CONSTANT=VALUE without a stage; true is a switch."""
    name, given, value = text.partition("=")
    of, dot, option = name.rpartition(".")
    if not (given and option and bool(of) == bool(dot)):
        raise argparse.ArgumentTypeError(
            f"{text} is not of the form warmup.steps=8000, nor a constant's, teacher=FOLDER"
        )
    return of, option, {"true": True, "false": False}.get(value, value)


def command_line(recipe: Recipe | None = None) -> argparse.ArgumentParser:
    """What can be asked, of a recipe what it lets one choose, too."""
    ours = parser("recipe", recipe.title if recipe else __doc__)
    add = ours.add_argument
    add(
        "recipe", metavar="FILE", help="a TOML file, or the name of one in recipes/, before options"
    )
    add("--run", type=Path, metavar="FOLDER", help="of all stages, if not the recipe's own")
    add("--out", type=Path, metavar="FOLDER", help="for the checkpoint, if not in that")
    add("--set", type=setting, action="append", metavar="STAGE.OPTION=VALUE",
        help="an option of a stage, or of all that are of a command, such as warmup.steps=8000; "
        "or, as CONSTANT=VALUE, a constant of the recipe")  # fmt: skip
    add("--check", action="store_true", help="look it through, print what it would do, and end")
    add("--dry-run", action="store_true", help="say what every stage holds in memory, and end")
    add("--ranks", type=positive, default=1, help="of the dry run: that share out what --fsdp does")
    add("--measure", metavar="STAGE", help="do three steps of it at full size, with random weights")
    add("--past-gates", action="store_true", help="say that a gate failed, and go on")
    if recipe is None:
        return ours
    chosen = unasked(recipe)
    if recipe.presets:
        add(f"--{PRESET}", choices=recipe.presets, default=chosen[PRESET], help="how large")
    for name, (values, words) in recipe.choices.items():
        add(f"--{name}", choices=values, default=chosen[name], help=words)
    for name, (words, _) in recipe.switches.items():
        add(f"--{name}", action="store_true", help=words)
    return ours


def chosen(recipe: Recipe, options: argparse.Namespace) -> Chosen:
    """What the command line chooses of it, `--set` of options among it."""
    changes: dict[str, dict[str, Any]] = {}
    for of, option, value in options.set or ():
        if of:
            changes.setdefault(of, {})[option] = value
    last = [entry.name for entry in recipe.stages if entry.command == EXPORT][-1:]
    if options.out and last:
        changes.setdefault(last[0], {})["out"] = str(options.out)
    said = {name.replace("_", "-"): value for name, value in vars(options).items()}
    return Chosen(
        {name: said[name] for name in unasked(recipe)},
        frozenset(name for name in recipe.switches if said[name]),
        changes,
    )


def main(arguments: list[str] | None = None) -> None:
    words = sys.argv[1:] if arguments is None else arguments
    if ranks.world() > 1:
        raise loop.TrainingError(
            "a recipe is followed in one process: --check prints its commands, launch those that "
            "train on several cards"
        )
    first = words[0] if words and not words[0].startswith("-") else ""
    recipe = recipe_file.read(recipe_file.find(first or command_line().parse_args(words).recipe))
    options = command_line(recipe).parse_args(words)
    constants = {option: value for of, option, value in options.set or () if not of}
    for name in constants.keys() - recipe.constants.keys():
        raise recipe.wrong(
            "--set",
            f"no constant is called {name}: {recipe_file.near(name, list(recipe.constants))}",
        )
    recipe = replace(recipe, constants={**recipe.constants, **constants})
    choice = chosen(recipe, options)
    root = options.run or folder(recipe, choice)
    if options.dry_run:
        for line in weigh(recipe, choice, root, options.ranks):
            tqdm.write(line)  # beside the bar
        return
    if options.measure:
        measure(recipe, choice, options.measure)
        return
    rehearse(recipe, lambda at: parts(recipe, choice, at), root)
    every = parts(recipe, choice, root)
    print(f"{recipe.title}: {len(every)} stages, in {root}")
    if options.check:
        show(every)
    else:
        follow(every, past=options.past_gates)


if __name__ == "__main__":
    stage.command(main)
