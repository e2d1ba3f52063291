"""What every stage's command shares: its options, what it asks of earlier ones, what it leaves.

A finished stage leaves `result.json` in its folder, written last: what it was asked to do, on what
machine, how long it took, what it measured. Knows nothing of networks.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from sdxs.errors import SDXSError
from sdxs.model.hardware import cpu_name
from sdxs.train.parts.models import FACTOR
from sdxs.train.run import loop

RESULT, INDEX = "result.json", "model_index.json"  # of a stage; of a checkpoint
MULTI_STEP = ("blocks", "teacher")  # stages that leave a model of many steps
ONE_STEP = ("warmup", "distill", "texture")  # stages that leave a model of one
MODELS = (*MULTI_STEP, "straighten", *ONE_STEP)
EXPORT = "export"  # leaves a checkpoint, and with it what the stages in HELD do
HELD = {"text", "autoencoder", "decoder", *ONE_STEP}
BESIDE = ("text_encoder", "tokenizer", "scheduler")  # what a model's U-Net needs


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


def options(name: str, doc: str | None, **defaults: Any) -> argparse.ArgumentParser:
    """A parser with `--run` and with an option for each default that is in `COMMON`."""
    ours = parser(name, doc)
    ours.add_argument("--run", type=Path, default=Path("runs", name), metavar="FOLDER",
                      help="where its state and its result go")  # fmt: skip
    for option, default in defaults.items():
        kind, words = COMMON[option]
        ours.add_argument(f"--{option}", type=kind, default=default, help=words)
    return ours


COMMON: dict[str, tuple[Callable[[str], Any], str]] = {
    "steps": (positive, "updates of the weights"),
    "batch": (positive, "examples an update"),
    "lr": (float, "learning rate at its highest"),
    "pictures": (positive, "renders to learn from"),
    "resolution": (side, "side of a picture in pixels"),
    "seed": (int, "of all chance"),
}


def needs(
    ours: argparse.ArgumentParser,
    option: str,
    *made_by: str,
    default: str | None = None,
    words: str,
) -> None:
    """Add an option for the folder of a stage that is finished, any of `made_by`.

    default: a folder under `runs/`, or None where the option may be left out.
    """
    ours.add_argument(
        option, type=finished_by(*made_by), default=default and f"runs/{default}",
        metavar="FOLDER", help=words,
    )  # fmt: skip


def finished_by(*names: str) -> Callable[[str], Path]:
    """An argparse type: the folder of a stage that is finished, any of `names`.

    A checkpoint does where it holds what one of them leaves.
    """

    def folder(text: str) -> Path:
        try:
            found = read(Path(text)).get("stage")
        except (OSError, ValueError):
            found = None
        if found not in names and not (found == EXPORT and HELD.intersection(names)):
            raise argparse.ArgumentTypeError(
                f"{text} is not what {' or '.join(names)} leaves behind"
                + (f" but {found}" if found else "")
                + f": run python -m sdxs.train.{names[0]} to its end first"
            )
        return Path(text)

    return folder


def read(run: Path) -> dict[str, Any]:
    """The result of a finished stage; a checkpoint says nothing but that it is one.

    Raises OSError where there is neither.
    """
    if (run / INDEX).is_file():
        return {"stage": EXPORT}
    result: dict[str, Any] = json.loads((run / RESULT).read_text(encoding="utf-8"))
    return result


def finish(run: Path, name: str, seconds: float, **facts: Any) -> None:
    """Leave the result in the folder, whole or not at all, and print it."""
    result = {
        "stage": name,
        **facts,
        "hours": round(seconds / 3600, 4),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        **hardware(),
    }
    with loop.replacing(run / RESULT) as part:
        part.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))


def hand_on(model: Path, run: Path) -> None:
    """Give a run what its model's U-Net needs beside it, so that the folder is whole by itself."""
    for part in BESIDE:
        shutil.copytree(model / part, run / part, dirs_exist_ok=True)


def hardware() -> dict[str, str]:
    """The graphics card, or the processor and its threads; torch's version."""
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
    else:
        name = f"{cpu_name()}, {torch.get_num_threads()} threads"
    return {"hardware": name, "torch": torch.__version__}


def command(main: Callable[[], None]) -> None:
    """Run a command's `main`: a mistake, or Ctrl-C, ends in one line."""
    try:
        main()
    except (SDXSError, OSError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from what is saved", file=sys.stderr)
        sys.exit(130)
