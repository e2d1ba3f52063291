"""A command's options, written down once, as a frozen dataclass.

From its fields come the command line, its defaults and its help, and the settings that a stage's
state and result record. Knows nothing of networks, nor of what a command does.
"""

import argparse
import inspect
import sys
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn, Self, dataclass_transform

from sdxs.train.run import ranks
from sdxs.train.run.states import TrainingError

FACTOR = 8  # pixels of a picture along the side of a latent's cell


class Help(argparse.HelpFormatter):
    """Names the default of every option that has one."""

    def _get_help_string(self, action: argparse.Action) -> str:
        words = action.help or ""
        silent = action.default in (None, False, argparse.SUPPRESS)
        return words if silent else f"{words} (default: %(default)s)".strip()


class Parser(argparse.ArgumentParser):
    """Of several ranks one says what is wrong."""

    def error(self, message: str) -> NoReturn:
        if ranks.first_to_end():
            super().error(message)
        self.exit(2)


def parser(name: str, doc: str | None) -> argparse.ArgumentParser:
    """Of the command `python -m sdxs.train.name`."""
    return Parser(
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


def rate(text: str) -> float:
    """An argparse type: a learning rate."""
    if not 0 < (number := float(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no learning rate: give one above 0")
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
    "lr": {"type": rate, "help": "learning rate at its highest"},
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
    save_minutes: float = option(
        3.0, "minutes between two states, more where saving takes long; 0 saves at every step",
        recorded="never",
    )  # fmt: skip

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


@dataclass(frozen=True)
class Scale:
    """How an update is computed: in so many micro-batches over all ranks; whether activations are
    computed again for the gradient; whether the optimizer keeps 8 bits; whether each rank holds
    its share of a network alone."""

    micro_batches: int = 1
    checkpointing: bool = False
    eight_bit: bool = False
    sharded: bool = False


ALL_AT_ONCE = Scale()


class ScaledOptions(TrainingOptions):
    """What a stage is asked that trains on one card or many.

    What `batch` is in all is computed in `micro_batches` of `at_once` examples, which the ranks
    share out. Chance is theirs: that they are several changes what is drawn, how many ranks there
    are does not.
    """

    micro_batch: int | None = option(
        None, "examples computed at a time (default: all, with several ranks a rank's share)",
        type=positive, recorded="never",
    )  # fmt: skip
    gradient_checkpointing: bool = option(
        False, "compute activations again for the gradient: less memory, more time",
        recorded="never",
    )  # fmt: skip
    optimizer: str = option(
        "adamw", "adamw8bit keeps its moments in 8 bits, by bitsandbytes",
        choices=("adamw", "adamw8bit"), recorded="never",
    )  # fmt: skip
    frozen_dtype: str = option(
        "float32", "of networks that do not learn: bfloat16 halves them, and rounds what they say",
        choices=("float32", "bfloat16"), recorded="never",
    )  # fmt: skip
    fsdp: bool = option(
        False, "each rank holds its share of the U-Nets alone, as it needs others' it fetches them",
        recorded="never",
    )  # fmt: skip
    dry_run: bool = option(
        False, "do three steps, say what the run would take, and keep nothing but the data",
        recorded="never",
    )  # fmt: skip

    @property
    def scale(self) -> Scale:
        """Raises TrainingError where the batch cannot be shared out."""
        self.check_scale()
        return Scale(
            self.micro_batches, self.gradient_checkpointing, self.optimizer == "adamw8bit",
            self.sharded,
        )  # fmt: skip

    @property
    def sharded(self) -> bool:
        """One process has all of everything."""
        return self.fsdp and ranks.world() > 1

    @property
    def at_once(self) -> int:
        """Examples of a micro-batch."""
        return self.micro_batch or max(1, self.batch // ranks.world())

    @property
    def micro_batches(self) -> int:
        """How many there are in a batch, over all ranks."""
        return self.batch // self.at_once

    def check_scale(self) -> None:
        """Raises TrainingError where the batch cannot be shared out."""
        world, uneven = ranks.world(), self.micro_batch is None and self.batch % ranks.world()
        if uneven or self.batch % self.at_once or self.micro_batches < world:
            raise TrainingError(
                f"a batch of {self.batch} is no whole number of micro-batches of {self.at_once}, "
                f"one for each of {world} ranks at least: give another --batch or --micro-batch"
            )
        if self.sharded and self.micro_batches % world:
            raise TrainingError(
                f"with --fsdp {world} ranks compute as many micro-batches each, and there are "
                f"{self.micro_batches}: give another --batch or --micro-batch"
            )
        if self.sharded and self.optimizer == "adamw8bit":
            raise TrainingError("--fsdp and --optimizer adamw8bit do not go together: give one")
        for name in ("keep", "guard", "adversary"):  # which take a network as a whole, or its parts
            if self.sharded and getattr(self, name, None):
                raise TrainingError(f"--fsdp and --{name} do not go together: give one")

    def settings(self) -> dict[str, Any]:
        found = super().settings()
        if self.micro_batches > 1:
            found["micro_batch"] = self.at_once
        if self.optimizer != "adamw":
            found["optimizer"] = self.optimizer
        if self.frozen_dtype != "float32":
            found["frozen_dtype"] = self.frozen_dtype
        return found


class RenderOptions(TrainingOptions):
    """What a stage is asked that trains on renders."""

    pictures: int = option()
    resolution: int = option(128)


def _plain(part: "Field[Any]") -> type | None:
    """The type of a field's values, None for text."""
    kinds = (part.type, getattr(part.type, "__args__", (None,))[0])  # X, or X | None
    return next((kind for kind in (Path, int, float) if kind in kinds), None)
