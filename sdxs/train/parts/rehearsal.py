"""Whether the commands of a recipe can be told what it tells them, found before anything runs.

Each reads its own line, in a folder in which every stage before it has left a result. Knows
nothing of what commands do.
"""

import contextlib
import importlib
import io
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

from sdxs.train.parts.commands import Part
from sdxs.train.parts.distillation import DistillationOptions
from sdxs.train.parts.recipe_file import Recipe, near
from sdxs.train.run import stage
from sdxs.train.run.loop import TrainingError
from sdxs.train.run.options import CommandOptions
from sdxs.train.run.stages import EXPORT

COMMANDS = Path(stage.__file__).parents[1]  # a file each


def rehearse(recipe: Recipe, parts: Callable[[Path], Sequence[Part]], root: Path) -> None:
    """parts: what they are in a folder; root: the one they will be in. Raises TrainingError for an
    unknown command or option, a value that it does not take, a folder that is of another stage."""
    with tempfile.TemporaryDirectory() as held:
        here = Path(held)
        for part in parts(here):
            try:
                listen(part.command, part.arguments)
                leave(part, part.run if here in part.run.parents else here / part.name)
                if part.scoring:
                    listen("score", part.scoring)
            except TrainingError as error:
                said = str(error).replace(held, str(root))
                raise recipe.wrong(f"stage {part.name}", said) from None


def listen(command: str, arguments: Sequence[str]) -> None:
    """Have a command read its line. Raises TrainingError with what it says against it."""
    known = sorted(file.stem for file in COMMANDS.glob("[a-z]*.py"))
    options = command in known and getattr(
        importlib.import_module(f"sdxs.train.{command}"), "Options", None
    )
    if not (options and issubclass(options, CommandOptions)):
        raise TrainingError(f"there is no command sdxs.train.{command}: {near(command, known)}")
    names = []
    for part in fields(options):
        if "how" in part.metadata:  # the others are no options of the command line
            names += [f"--{part.name.replace('_', '-')}", *(part.metadata["off"] or ())[:1]]
    for word in arguments:
        if word.startswith("--") and word not in names:
            raise TrainingError(f"sdxs.train.{command} has no {word}: {near(word, names)}")
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            asked = options.read(list(arguments))
    except SystemExit:
        raise TrainingError(said.getvalue().strip().rpartition("error: ")[2]) from None
    if isinstance(asked, DistillationOptions):
        asked.check(getattr(asked, "warmup", 0))


def leave(part: Part, run: Path) -> None:
    """What a stage leaves by which others know it."""
    run.mkdir(parents=True, exist_ok=True)
    if part.command == EXPORT:
        (run / stage.INDEX).touch()
    else:
        (run / stage.RESULT).write_text(json.dumps({"stage": part.command}), encoding="utf-8")
