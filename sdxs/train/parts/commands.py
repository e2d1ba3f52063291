"""From a recipe and what is chosen of it to commands, in order, each with the folder it leaves.

"@name" is the folder of an earlier stage, "@a or @b" that of the first which this choice has, and
"@a or nothing" leaves the option out where there is none; "@a if pruned or @b" passes over the
first unless `pruned` holds, as in `when`; "{word}" is a constant or a choice. Knows nothing of what
commands ask, nor of what became of a stage.
"""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdxs.train.parts.gates import Gate
from sdxs.train.parts.recipe_file import Entry, Options, Recipe, filled, near
from sdxs.train.run.stages import EXPORT, MODELS, ONE_STEP

PRESET, SCORE, NOTHING = "preset", "score", "nothing"


@dataclass(frozen=True)
class Chosen:
    """words: the preset and the value of each choice, by name. on: the switches.

    changes: of options, by command or stage, over those of the preset.
    """

    words: Mapping[str, str] = field(default_factory=dict)
    on: frozenset[str] = frozenset()
    changes: Mapping[str, Options] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """A stage's command, and the folder that it leaves finished.

    after: the folders that it takes. scoring: what `sdxs.train.score` is told to score it; empty
    where it is not scored.
    """

    name: str
    command: str
    run: Path
    arguments: list[str]
    after: tuple[Path, ...] = ()
    gates: tuple[Gate, ...] = ()
    scoring: tuple[str, ...] = ()

    def __str__(self) -> str:
        return shlex.join(["python", "-m", f"sdxs.train.{self.command}", *self.arguments])


def unasked(recipe: Recipe) -> dict[str, str]:
    """The preset and the choices that are taken where nobody says."""
    preset = {PRESET: next(iter(recipe.presets))} if recipe.presets else {}
    return preset | {name: values[0] for name, (values, _) in recipe.choices.items()}


def folder(recipe: Recipe, chosen: Chosen) -> Path:
    """Where the recipe says that its stages go."""
    return Path(_said(recipe, chosen, "run", recipe.run))


def parts(recipe: Recipe, chosen: Chosen, root: Path) -> list[Part]:
    """The stages in order, their folders in `root`. Raises TrainingError for what is not there, and
    for a switch that would change nothing."""
    for name, (_, when) in recipe.switches.items():
        for condition in when:
            if not _holds(recipe, chosen, f"switch {name}", condition) and name in chosen.on:
                raise recipe.wrong(
                    f"--{name}",
                    f"it changes nothing unless {condition}: choose that, or leave the switch out",
                )
    changes = [recipe.presets.get(chosen.words.get(PRESET, ""), {}), chosen.changes]
    known = sorted(
        {SCORE} | {word for entry in recipe.stages for word in (entry.name, entry.command)}
    )
    presets = {f"preset {name}": change for name, change in recipe.presets.items()}
    for place, change in {**presets, "--set": chosen.changes}.items():
        for name in change.keys() - set(known):
            raise recipe.wrong(place, f"no stage is called {name}: {near(name, known)}")
    out: list[Part] = []
    before: dict[str, Path] = {}  # the folders of stages so far
    for entry in recipe.stages:
        place = f"stage {entry.name}"
        if not all(_holds(recipe, chosen, place, condition) for condition in entry.when):
            continue
        if entry.name in before:
            raise recipe.wrong(place, "an earlier one has that name: choose another")

        def told(*tables: Options, place: str = place) -> dict[str, Any]:
            merged = {key: value for table in tables for key, value in table.items()}
            return _taken(recipe, chosen, place, _said(recipe, chosen, place, merged), before)

        own = [change.get(name, {}) for change in changes
               for name in dict.fromkeys((entry.command, entry.name))]  # fmt: skip
        goes = "out" if entry.command == EXPORT else "run"
        given = {goes: root / entry.name, **told(entry.options, *own)}
        run, gates = Path(given[goes]), tuple(_gates(recipe, chosen, entry, before))
        after = tuple(path for value in given.values() for path in _listed(value)
                      if isinstance(path, Path) and path != run)  # fmt: skip
        scoring: tuple[str, ...] = ()
        asked = [recipe.score, entry.score, *(change.get(SCORE, {}) for change in changes)]
        before[entry.name] = run
        if entry.command in MODELS and (recipe.score or entry.score):
            score = told(*asked)
            if entry.command in ONE_STEP:
                score.pop("steps", None)
            scoring = (str(run), *_words(score))
        out.append(Part(entry.name, entry.command, run, _words(given), after, gates, scoring))
    return out


def _said(recipe: Recipe, chosen: Chosen, place: str, value: Any) -> Any:
    """With what constants and choices stand for; twice, since a constant may name others."""
    words = {**recipe.constants, **chosen.words}
    try:
        return filled(filled(value, words), words)
    except KeyError as error:
        word = error.args[0]
        raise recipe.wrong(
            place, f"{{{word}}} is no constant and no choice: {near(word, sorted(words))}"
        ) from None


def _holds(recipe: Recipe, chosen: Chosen, place: str, condition: str) -> bool:
    """upscale, not upscale, layout=sd, not layout=sd."""
    what, isnt = condition.removeprefix("not "), condition.startswith("not ")
    name, given, value = what.partition("=")
    values = {key: one for key, (one, _) in recipe.choices.items()}
    if recipe.presets:
        values[PRESET] = tuple(recipe.presets)
    known = [*recipe.switches, *(f"{key}={one}" for key in values for one in values[key])]
    if what not in known:
        raise recipe.wrong(place, f"when {what!r} is never: {near(what, known)}")
    return (chosen.words.get(name) == value if given else name in chosen.on) != isnt


def _taken(
    recipe: Recipe, chosen: Chosen, place: str, options: Options, before: Mapping[str, Path]
) -> dict[str, Any]:
    """Options with folders in the place of references, without those that refer to nothing."""
    out: dict[str, Any] = {}
    for option, value in options.items():
        found = [
            _folder(recipe, chosen, f"{place}, {option}", item, before)
            if isinstance(item, str) and item.startswith("@") else item
            for item in _listed(value)
        ]  # fmt: skip
        found = [item for item in found if item is not None]
        if isinstance(value, list):
            out[option] = found
        elif found:
            out[option] = found[0]
    return out


def _folder(
    recipe: Recipe, chosen: Chosen, place: str, said: str, before: Mapping[str, Path]
) -> Path | None:
    """Of the first stage named that this choice has; None for nothing."""
    names = [name.strip() for name in said.split(" or ")]
    every = list(dict.fromkeys(entry.name for entry in recipe.stages))
    for name in names:
        if name == NOTHING:
            return None
        reference, _, condition = name.partition(" if ")
        stage = reference.removeprefix("@")
        if stage == reference or stage not in every:
            raise recipe.wrong(place, f"no stage is called {stage}: {near(stage, every)}")
        holds = not condition or _holds(recipe, chosen, place, condition)
        if holds and stage in before:
            return before[stage]
    later = f"no earlier stage of this choice is {' or '.join(names)}"
    raise recipe.wrong(place, f"{later}: put it before, or add the choice that has it")


def _gates(
    recipe: Recipe, chosen: Chosen, entry: Entry, before: Mapping[str, Path]
) -> Iterator[Gate]:
    """Those whose other stage, if they have one, is there: below and by may be "@stage"."""
    place = f"stage {entry.name}, a gate"
    for gate in _said(recipe, chosen, place, list(entry.gates)):
        for key in ("below", "by"):
            if gate.get(key, "").startswith("@"):
                other = _folder(recipe, chosen, place, f"{gate[key]} or {NOTHING}", before)
                gate[key] = f"{other.name}/{gate['number']}" if other else None
        if None not in gate.values():
            yield Gate(**gate)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _words(options: Options) -> list[str]:
    """As the command line has them; a switch by itself, and not at all where it is false."""
    out = []
    for option, value in options.items():
        if value is not False:
            values = [] if value is True else _listed(value)
            out += [f"--{option}", *map(str, values)]
    return out
