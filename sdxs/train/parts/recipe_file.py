"""A recipe's file, read: its stages in order, what can be chosen, what its models must reach.

docs/training.md has the form. What is no recipe is refused in one line that names file and place.
Knows nothing of folders, that is `commands`, nor of what commands ask, that is `rehearsal`.
"""

import itertools
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdxs.errors import did_you_mean
from sdxs.train.run.loop import TrainingError

PACKAGE = Path(__file__).resolve().parents[2]
RECIPES = next(  # in an installed package, or beside it in the repository
    filter(Path.is_dir, (PACKAGE / "recipes", PACKAGE.parent / "recipes")), PACKAGE / "recipes"
)
TOP = {
    "title": str, "run": str, "constants": dict, "choices": dict, "switches": dict,
    "presets": dict, "score": dict, "stages": list,
}  # fmt: skip
CHOICE = {"values": list, "help": str}
SWITCH = {"help": str, "when": (str, list)}
GROUP = {"when": (str, list), "each": dict, "stages": list}
STAGE = {"name": str, "command": str, "when": (str, list), "gates": list, "score": dict}
GATE = {
    "what": str, "number": str, "below": str, "by": str, "least": (int, float),
    "most": (int, float),
}  # fmt: skip
WORDS = {str: "text", dict: "a table", list: "a list", int: "a number"}
Options = Mapping[str, Any]  # in the words of the command line: {"held-out": 4}


@dataclass(frozen=True)
class Entry:
    """A stage as the file has it, an `each` spelt out. when: what must hold for it to be run."""

    name: str
    command: str
    when: tuple[str, ...]
    options: Options
    gates: tuple[Options, ...]
    score: Options


@dataclass(frozen=True)
class Recipe:
    """choices: their values, the first of which is taken unasked, and their help. switches: help,
    and what must hold for one to be given.

    presets: changes of options by command or stage; the first is taken unasked.
    """

    file: Path
    title: str
    run: str
    stages: tuple[Entry, ...]
    constants: Options = field(default_factory=dict)
    choices: Mapping[str, tuple[tuple[str, ...], str]] = field(default_factory=dict)
    switches: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    presets: Mapping[str, Mapping[str, Options]] = field(default_factory=dict)
    score: Options = field(default_factory=dict)

    def wrong(self, place: str, what: str) -> TrainingError:
        return TrainingError(f"{self.file}, {place}: {what}")


def find(name: str) -> Path:
    """A recipe's file: a path, or the name of one in `recipes/`. Raises TrainingError."""
    path = Path(name)
    if path.suffix != ".toml":
        path = RECIPES / f"{name}.toml"
    if path.is_file():
        return path
    there = sorted(file.stem for file in RECIPES.glob("*.toml"))
    raise TrainingError(
        f"there is no recipe {path}: give the path of a TOML file, or a name; {near(name, there)}"
    )


def near(name: object, known: Sequence[str]) -> str:
    """What may have been meant, or else all that there is."""
    return did_you_mean(name, known).rstrip() or f"there is {', '.join(known) or 'none'}"


def read(file: Path) -> Recipe:
    """Raises TrainingError for what is no recipe."""
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TrainingError(f"{file} is not TOML: {error}") from None
    _check(file, "at its top", table, TOP, {"title", "run", "stages"})
    choices = {}
    for name, choice in table.get("choices", {}).items():
        _check(file, f"choice {name}", choice, CHOICE, {"values", "help"})
        choices[name] = (tuple(map(str, choice["values"])), choice["help"])
    switches = {}
    for name, switch in table.get("switches", {}).items():
        told = {"help": switch} if isinstance(switch, str) else switch
        _check(file, f"switch {name}", told, SWITCH, {"help"})
        switches[name] = (told["help"], tuple(_conditions(told)))
    for name, changes in table.get("presets", {}).items():
        if not isinstance(changes, dict):
            raise TrainingError(f"{file}, presets: {name} is not {WORDS[dict]}")
        for command, options in changes.items():
            if not isinstance(options, dict):
                raise TrainingError(
                    f"{file}, preset {name}: {command} is not a table of the command's options"
                )
    stages = tuple(
        entry for number, stage in enumerate(table["stages"], 1)
        for entry in _entries(file, f"stage {number}", stage, {}, ())
    )  # fmt: skip
    rest = {key: table.get(key, {}) for key in ("constants", "presets", "score")}
    return Recipe(
        file, table["title"], table["run"], stages, choices=choices, switches=switches, **rest
    )


def filled(value: Any, words: Options) -> Any:
    """With {word} replaced by what it stands for; a text that is nothing else becomes just that.

    Raises KeyError with a word that stands for nothing.
    """
    if isinstance(value, str):
        if (whole := re.fullmatch(r"\{([\w-]+)\}", value)) and whole[1] in words:
            return words[whole[1]]
        return re.sub(r"\{([\w-]+)\}", lambda found: str(words[found[1]]), value)
    if isinstance(value, list | tuple):
        return [filled(item, words) for item in value]
    if isinstance(value, dict):
        return {key: filled(item, words) for key, item in value.items()}
    return value


class _Known(dict[str, Any]):
    """Leaves a {word} that it does not know as it is."""

    def __missing__(self, word: str) -> str:
        return f"{{{word}}}"


def _entries(
    file: Path, place: str, table: Any, words: Options, when: tuple[str, ...]
) -> Iterator[Entry]:
    if isinstance(table, dict) and "stages" in table:
        _check(file, place, table, GROUP, {"stages"})
        when, each = (*when, *_conditions(table)), table.get("each", {})
        _check(file, f"{place}, each", each, dict.fromkeys(each, list), ())
        for values in itertools.product(*each.values()):
            said = {**words, **dict(zip(each, values, strict=True))}
            for number, inner in enumerate(table["stages"], 1):
                yield from _entries(file, f"{place}, {number} of its group", inner, said, when)
        return
    _check(file, place, table, STAGE, {"name"}, more=True)
    table = filled(table, _Known(words))
    for gate in table.get("gates", ()):
        _check(file, f"stage {table['name']}, a gate", gate, GATE, {"what", "number"})
        if ("least" in gate) == ("most" in gate):
            raise TrainingError(
                f"{file}, stage {table['name']}: the gate on {gate['number']} asks for one of "
                "least and most"
            )
    if not re.fullmatch(r"[\w.-]+", table["name"]):
        raise TrainingError(
            f"{file}, {place}: {table['name']!r} cannot be the name of a folder: use letters, "
            "digits, - and _"
        )
    yield Entry(
        name=table["name"],
        command=table.get("command", table["name"]),
        when=(*when, *_conditions(table)),
        options={key: value for key, value in table.items() if key not in STAGE},
        gates=tuple(table.get("gates", ())),
        score=table.get("score", {}),
    )


def _conditions(table: Options) -> list[str]:
    found = table.get("when", [])
    return [found] if isinstance(found, str) else found


def _check(
    file: Path, place: str, table: Any, kinds: Mapping[str, Any], must: Iterable[str], *,
    more: bool = False,
) -> None:  # fmt: skip
    """more: whether other keys are welcome."""
    if not isinstance(table, dict):
        raise TrainingError(f"{file}, {place}: {table!r} is not a table")
    for key, value in table.items():
        if key not in kinds and not more:
            raise TrainingError(f"{file}, {place}: {key} says nothing: {near(key, tuple(kinds))}")
        if key in kinds and not isinstance(value, kinds[key]):
            kind = kinds[key][0] if isinstance(kinds[key], tuple) else kinds[key]
            raise TrainingError(f"{file}, {place}: {key} is not {WORDS[kind]}")
    for key in must:
        if key not in table:
            raise TrainingError(f"{file}, {place}: {key} is missing")
