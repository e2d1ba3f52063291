"""What every stage's command shares: what it asks of earlier ones, its training, what it leaves.

A finished stage leaves `result.json` in its folder, written last: what it was asked to do, on what
machine, how long it took, what it measured. Knows nothing of networks.
"""

import argparse
import importlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn, TypeVar

import torch
from safetensors import SafetensorError
from torch import nn

from sdxs.checkpoint.find import find, find_sight, resolve
from sdxs.errors import SDXSError, one_line
from sdxs.model.hardware import cpu_name, limit_threads
from sdxs.train.run import loop, ranks, sharding
from sdxs.train.run.estimate import estimate
from sdxs.train.run.options import CommandOptions, ScaledOptions, TrainingOptions, option
from sdxs.train.run.stages import CHECKPOINT, EXPORT, STAGES, taken
from sdxs.train.run.states import replacing

RESULT, SCORE = "result.json", "score.json"  # of a stage; of a model that was scored
BEGUN = "metrics.jsonl"  # of a stage, from its first step on
INDEX, EXPORTED = "model_index.json", "training.json"  # of a checkpoint; of one that we trained
FOREIGN = "; somebody else's, too: a file, a folder or a Hub id"
OTHERS: dict[str, Callable[[str], Path]] = {  # by stage: where what others made in its place lies
    "control": partial(find, "controls", checkpoint=""),
    "style": partial(find, "styles", checkpoint=""),
    "depth": find_sight,
}
Asked = TypeVar("Asked", bound=CommandOptions)


class Ended(Exception):
    """Ends a stage before its last part: another rank has done that, or the run was a dry one."""


def needs(help: str, *made_by: str, default: str = "") -> Any:
    """A field of a command's options: the folder of a stage that is finished, any of `made_by`.

    default: a folder under `runs/`, if not that of the first of them.
    """
    folder = Path("runs", default or made_by[0])
    help += FOREIGN * STAGES[made_by[0]].others
    return option(folder, help, type=finished_by(*made_by), metavar="FOLDER")


def takes(help: str, *made_by: str, many: bool = False) -> Any:
    """Such a folder that may be left out, or as many as one likes."""
    how: dict[str, Any] = {"nargs": "*"} if many else {}
    start = () if many else None
    help += FOREIGN * STAGES[made_by[0]].others
    return option(start, help, type=finished_by(*made_by), metavar="FOLDER", **how)


def finished_by(*names: str) -> Callable[[str], Path]:
    """An argparse type: the folder of a stage that is finished, any of `names`.

    A checkpoint does where it holds what one of them leaves: a name, a folder in diffusers' layout,
    or a Hub id, which is fetched. Of those that `sdxs.train.export` left it is known that they
    paint in one step; of others whoever names them knows. For the first of `names`, what somebody
    else made does too where `STAGES` says so: a file, a folder or a Hub id (`OTHERS`).
    """

    def folder(text: str) -> Path:
        place = Path(text)
        if not place.exists() and place.parts[:1] != ("runs",) and taken(CHECKPOINT, names):
            try:
                place = resolve(text).folder
            except SDXSError as error:
                raise argparse.ArgumentTypeError(
                    f"{text} is not what {' or '.join(names)} leaves behind, nor is it a "
                    f"checkpoint: {error}"
                ) from None
        what = STAGES[names[0]]
        if what.others and _foreign(place):
            try:
                return OTHERS[names[0]](text)
            except SDXSError as error:
                raise argparse.ArgumentTypeError(
                    f"{text} is not what {' or '.join(names)} leaves behind, nor is it a "
                    f"{what.leaves} of somebody else's: {error}"
                ) from None
        try:
            found = read(place).get("stage")
        except (OSError, ValueError):
            found = None
        if not taken(found, names):
            bare = place.is_dir() and taken(CHECKPOINT, names)
            raise argparse.ArgumentTypeError(
                f"{text} is not what {' or '.join(names)} leaves behind"
                + (f" but {found}" if found else f", nor does it hold {INDEX}" * bare)
                + f": run python -m sdxs.train.{names[0]} to its end first"
            )
        return place

    return folder


def ours(place: Path) -> bool:
    """Whether a stage left this, and not somebody else."""
    return (place / RESULT).is_file()


def _foreign(place: Path) -> bool:
    """Whether it is no folder of a stage, finished, begun or to come."""
    if not place.exists():
        return place.parts[:1] != ("runs",)
    return place.is_file() or not any((place / name).is_file() for name in (RESULT, BEGUN))


def read(run: Path) -> dict[str, Any]:
    """A finished stage's result; of a checkpoint, that it is one. Raises OSError for neither."""
    if (run / INDEX).is_file():
        return {"stage": EXPORT if (run / EXPORTED).is_file() else CHECKPOINT}
    return json.loads((run / RESULT).read_text(encoding="utf-8"))


@contextmanager
def trained(
    options: TrainingOptions,
    parts: Mapping[str, loop.Stateful],
    step: loop.Step,
    facts: Mapping[str, Any],
    *,
    flat: float = 0.0,
    spent: float = 0.0,
    frozen: Mapping[str, nn.Module] = MappingProxyType({}),
) -> Iterator[dict[str, Any]]:
    """Do a stage's steps (`loop.run`); the body writes what came of them; then the result is left.

    facts: recorded beside the options, in the place of those of the same name. spent: seconds that
    its data took. frozen: networks beside those of `parts`, for a dry run. Yields a dictionary for
    what the body measures. Raises Ended in its place after a dry run and, once the main rank is
    done, in all others.
    """
    if isinstance(options, ScaledOptions):
        for network in frozen.values():
            if options.frozen_dtype != "float32":
                nn.Module.to(network, getattr(torch, options.frozen_dtype))
            if options.sharded:
                sharding.shard(network, whole=False)
    if isinstance(options, ScaledOptions) and options.dry_run:
        for line in estimate(parts, frozen, step, steps=options.steps, seed=options.seed):
            if ranks.is_main():
                print(line, flush=True)
        raise Ended
    settings = {**options.settings(), **facts, **ranks.facts()}
    seconds = loop.run(
        options.run, parts, step, steps=options.steps, seed=options.seed, settings=settings,
        title=options.name, save_seconds=60 * options.save_minutes, flat=flat,
    )  # fmt: skip
    sharding.make_whole(parts.values())
    with ranks.main_first():
        if not ranks.is_main():
            raise Ended
        measured: dict[str, Any] = {}
        yield measured
        done = {"steps": options.steps, "seed": options.seed}
        finish(options.run, options.name, spent + seconds, **measured, **settings, **done)


def finish(run: Path, name: str, seconds: float, **facts: Any) -> None:
    """Leave the result in the folder, whole or not at all, and print it."""
    result = {
        "stage": name,
        **facts,
        "hours": round(seconds / 3600, 4),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        **hardware(),
    }
    with replacing(run / RESULT) as part:
        part.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))


def hardware() -> dict[str, str]:
    """The graphics card, or the processor and its threads; torch's version."""
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
    else:
        name = f"{cpu_name()}, {torch.get_num_threads()} threads"
    return {"hardware": name, "torch": torch.__version__}


def main(kind: type[Asked], train: Callable[[Asked], None], module: str) -> Callable[..., None]:
    """A command's `main`: read the options, train. Runs it where `module` is the program.

    It raises TrainingError where several ranks are to do what one does.
    """

    def main(arguments: list[str] | None = None) -> None:
        asked = kind.read(arguments)
        if isinstance(asked, ScaledOptions):
            asked.check_scale()
        elif isinstance(asked, TrainingOptions) and ranks.world() > 1:
            raise loop.TrainingError(
                f"{kind.name} trains in one process: start python -m sdxs.train.{kind.name} itself"
            )
        with suppress(Ended):
            train(asked)

    if module == "__main__":
        command(main)
    return main


def run(name: str, arguments: list[str]) -> None:
    """What `python -m sdxs.train.name` does with the arguments, in this process."""
    importlib.import_module(f"sdxs.train.{name}").main(arguments)


def command(main: Callable[[], None]) -> None:
    """Run a command's `main`: a mistake, or Ctrl-C, ends in one line."""
    limit_threads()
    try:
        with ranks.joined():
            main()
    except (SDXSError, OSError) as error:
        _end(error, error, 2)
    except SafetensorError as error:  # of a file that is being written
        said = (
            f"weights cannot be written ({one_line(error)}): make room, then give the same command"
        )
        _end(error, f"{said} again", 2)
    except KeyboardInterrupt as stop:
        _end(stop, "\nstopped; the same command goes on from what is saved", 130)


def _end(error: BaseException, words: object, status: int) -> NoReturn:
    if ranks.first_to_end(error):
        print(words, file=sys.stderr, flush=True)
    sys.exit(status)
