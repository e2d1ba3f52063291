"""Whether the commands of a recipe can be told what it tells them, found before anything runs; and
what each will hold in memory.

Each reads its own line, in a folder in which every stage before it has left a result. Knows
nothing of what commands do.
"""

import contextlib
import importlib
import io
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path

from sdxs.train.parts import blueprints
from sdxs.train.parts.commands import Part
from sdxs.train.parts.distillation import DistillationOptions
from sdxs.train.parts.footprint import Held
from sdxs.train.parts.holdings import networks_of
from sdxs.train.parts.prompts import check_place
from sdxs.train.parts.recipe_file import Recipe, near
from sdxs.train.run import stage
from sdxs.train.run.loop import TrainingError
from sdxs.train.run.options import CommandOptions, ScaledOptions, StageOptions
from sdxs.train.run.stages import EXPORT

COMMANDS = Path(stage.__file__).parents[1]  # a file each


def rehearse(recipe: Recipe, parts: Callable[[Path], Sequence[Part]], root: Path) -> None:
    """parts: what they are in a folder; root: the one they will be in. Raises TrainingError for an
    unknown command or option, a value that it does not take, a folder that is of another stage, a
    file of prompts or pictures that is not there."""
    for part, asked in walked(recipe, parts, root):
        for name in ("prompts", "real"):
            try:
                check_place(getattr(asked, name, None))
            except TrainingError as error:
                raise recipe.wrong(f"stage {part.name}, {name}", str(error)) from None


def held(
    recipe: Recipe, parts: Callable[[Path], Sequence[Part]], root: Path
) -> Iterator[tuple[Part, CommandOptions, list[Held]]]:
    """Of each stage what it is asked and its networks, without weights: of settings alone, those
    of a published checkpoint by its Hub id. Raises TrainingError as `rehearse` does."""
    for part, asked in walked(recipe, parts, root, published=True):
        try:
            yield part, asked, networks_of(part.command, asked)
        except TrainingError as error:
            raise recipe.wrong(f"stage {part.name}", str(error)) from None


def walked(
    recipe: Recipe,
    parts: Callable[[Path], Sequence[Part]],
    root: Path,
    *,
    published: bool = False,
    at: Path | None = None,
) -> Iterator[tuple[Part, CommandOptions]]:
    """One stage after the other, as it reads its line. published: Hub ids of known shapes are not
    asked for. at: a folder to do so in; without one none is left. Raises TrainingError."""
    with contextlib.nullcontext(str(at)) if at else tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        for part in parts(here):
            words = list(part.arguments)
            if published:
                words = [stood_in(word, here / "published") for word in words]
            try:
                asked = listen(part.command, words)
                leave(part, asked, part.run if here in part.run.parents else here / part.name)
                if part.scoring:
                    listen("score", part.scoring)
            except TrainingError as error:
                said = str(error).replace(folder, str(root))
                raise recipe.wrong(f"stage {part.name}", said) from None
            yield part, asked


def stood_in(word: str, folder: Path) -> str:
    """A Hub id's settings in its place, if they are known."""
    if not blueprints.published(word):
        return word
    place = folder / word
    return str(place if place.exists() else blueprints.write(word, place))


def listen(command: str, arguments: Sequence[str]) -> CommandOptions:
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
    if isinstance(asked, ScaledOptions):
        asked.check_scale()
    if isinstance(asked, DistillationOptions):
        asked.check(getattr(asked, "warmup", 0))
    return asked


def leave(part: Part, asked: CommandOptions, run: Path) -> None:
    """What a stage leaves by which others know it."""
    run.mkdir(parents=True, exist_ok=True)
    if part.command == EXPORT:
        (run / stage.INDEX).touch()
    else:
        told = asked.settings() if isinstance(asked, StageOptions) else {}
        (run / stage.RESULT).write_text(json.dumps({**told, "stage": part.command}), "utf-8")
