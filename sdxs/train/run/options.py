"""A command's options, written down once, as a frozen dataclass.

From its fields come the command line, its defaults and its help, and the settings that a stage's
state and result record. Knows nothing of networks, nor of what a command does.
"""

import argparse
import inspect
import sys
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, dataclass_transform

FACTOR = 8  # pixels of a picture along the side of a latent's cell


class Help(argparse.HelpFormatter):
    """Names the default of every option that has one."""

    def _get_help_string(self, action: argparse.Action) -> str:
        words = action.help or ""
        silent = action.default in (None, False, argparse.SUPPRESS)
        return words if silent else f"{words} (default: %(default)s)".strip()


def parser(name: str, doc: str | None) -> argparse.ArgumentParser:
    """Of the command `python -m sdxs.train.name`."""
    return argparse.ArgumentParser(
        prog=f"python -m sdxs.train.{name}",
        description=(doc or "").splitlines()[0],
        formatter_class=Help,
    )


def positive(text: str) -> int:
    """An argparse type: an integer above zero."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return number


def share(text: str) -> float:
    """An argparse type: above 0, at most 1."""
    if not 0 < (number := float(text)) <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no share: above 0, at most 1")
    return number


def side(text: str) -> int:
    """An argparse type: the side of a picture in pixels."""
    if (number := int(text)) < 8 * FACTOR or number % FACTOR:
        raise argparse.ArgumentTypeError(
            f"{text} is not a multiple of {FACTOR} from {8 * FACTOR} on"
        )
    return number


COMMON: dict[str, dict[str, Any]] = {  # what many stages ask: how argparse reads it, and its help
    "steps": {"type": positive, "help": "updates of the weights"},
    "batch": {"type": positive, "help": "examples an update"},
    "lr": {"help": "learning rate at its highest"},
    "pictures": {"type": positive, "help": "renders to learn from"},
    "resolution": {"type": side, "help": "side of a picture in pixels"},
    "seed": {"help": "of all chance"},
}


def option(
    default: Any = MISSING,
    help: str = "",
    *,
    recorded: Literal["always", "given", "never"] = "always",
    off: tuple[str, str] | None = None,
    positional: bool = False,
    **how: Any,
) -> Any:
    """A field that is an option; without a default, one that must be given.

    recorded: whether the settings hold it; "given" says where it is not empty. off: a flag that
    makes it None, and its help. how: what argparse is told beside what `COMMON` and the field's
    type say. Folders are never recorded: what is in them is.
    """
    how |= {"help": help} if help else {}
    told = {"recorded": recorded, "off": off, "positional": positional, "how": how}
    return field(default=default, metadata=told)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(option,))
class CommandOptions:
    """What a command is asked, as a frozen dataclass: `class Options(…, steps=500, batch=128)`.

    name: the command's, if not its file's. The other keywords are the defaults of what `COMMON`
    lists.
    """

    name: ClassVar[str]

    def __init_subclass__(cls, name: str = "", **defaults: Any) -> None:
        cls.name = name or Path(inspect.getfile(cls)).stem
        kinds = {part.name: part.type for part in fields(cls.__mro__[1])} if defaults else {}
        own = inspect.get_annotations(cls)
        cls.__annotations__ = {**{key: kinds[key] for key in defaults}, **own}
        for key, default in defaults.items():
            setattr(cls, key, option(default))
        dataclass(frozen=True, kw_only=True)(cls)

    @classmethod
    def read(cls, arguments: list[str] | None = None) -> Self:
        """From the command line; wrong ones end there, as argparse has it."""
        ours = parser(cls.name, sys.modules[cls.__module__].__doc__)
        for part in fields(cls):  # type: ignore[arg-type]
            if "how" in part.metadata:
                cls._add(ours, part)
        return cls(**vars(ours.parse_args(arguments)))

    @classmethod
    def _add(cls, ours: argparse.ArgumentParser, part: "Field[Any]") -> None:
        how = {**COMMON.get(part.name, {}), **part.metadata["how"]}
        default = Path("runs", cls.name) if part.name == "run" else part.default
        if part.type is bool:
            how["action"] = "store_true"
        else:
            how.setdefault("type", _plain(part))
            if part.metadata["positional"]:
                ours.add_argument(part.name, **how)
                return
            if default is MISSING:
                how["required"] = True
            else:  # argparse reads a text as if it were given, so that a folder is looked into
                how["default"] = str(default) if isinstance(default, Path) else default
        ours.add_argument(f"--{part.name.replace('_', '-')}", **how)
        if part.metadata["off"]:
            flag, words = part.metadata["off"]
            ours.add_argument(flag, dest=part.name, action="store_const", const=None, help=words)


class StageOptions(CommandOptions):
    """What every stage is asked. run: where its state and its result go."""

    run: Path = option(help="where its state and its result go", metavar="FOLDER")
    seed: int = option()
    save_seconds: float = 180.0  # between two states; no option of the command line

    def settings(self) -> dict[str, Any]:
        """What a state and a result record, beside steps and seed."""
        found = {}
        for part in fields(self):  # type: ignore[arg-type]
            recorded, value = part.metadata.get("recorded", "never"), getattr(self, part.name)
            silent = recorded == "never" or (recorded == "given" and not value)
            if not (silent or part.name in ("seed", "steps") or _plain(part) is Path):
                found[part.name] = value
        return found


class TrainingOptions(StageOptions):
    """What a stage is asked that trains."""

    steps: int = option()
    batch: int = option()
    lr: float = option()


class RenderOptions(TrainingOptions):
    """What a stage is asked that trains on renders."""

    pictures: int = option()
    resolution: int = option(128)


def _plain(part: "Field[Any]") -> type | None:
    """The type of a field's values, None for text."""
    kinds = (part.type, getattr(part.type, "__args__", (None,))[0])  # X, or X | None
    return next((kind for kind in (Path, int, float) if kind in kinds), None)
