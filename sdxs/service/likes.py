"""`--like`: what a picture's file says becomes what the command line asks for.

What the user gives beside it counts more. Names in a file may be a stranger's: names and ids are
taken, paths are not. Knows nothing of how a picture comes about.
"""

import argparse
import re
import warnings
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sdxs.arguments import DECODERS
from sdxs.conditions import CONDITIONS, OF_CONDITIONS, READY
from sdxs.errors import InputError
from sdxs.metadata import reading
from sdxs.metadata.parameters import title
from sdxs.service.about import About
from sdxs.service.options import OPTIONS
from sdxs.service.restoring import restored

NAME = re.compile(r"[^\W_][^/\\:]*(/[^/\\:]+)?")  # of what ships, or an id of the Hub's
NAMED = ("Model", "Style", "Control")  # settings that may be one


@dataclass(frozen=True)
class Like:
    """What a file asks for. request: {field: value}. conditions: options of conditions, by flags.
    note: what is left out and why, or ""."""

    request: dict[str, Any] = field(default_factory=dict)
    checkpoint: str = ""
    conditions: dict[str, str] = field(default_factory=dict)
    note: str = ""


def read(file: Path, checkpoint: str) -> Like:
    """Of a picture's file; checkpoint: the one that is asked for, or "auto". Raises InputError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata
        found = reading.read(file, str(file))
    if found is None:
        raise InputError(f"--like {file}: it says nothing of how it was made")
    settings = dict(found.parameters.settings)
    for name in NAMED if found.parameters.ours else ():
        if not NAME.fullmatch(settings.get(name, "a")):
            raise InputError(f"--like {file}: its {name.lower()} is a path; name your own")
    own = found.parameters.ours and checkpoint == "auto"
    checkpoint = settings.get("Model", "auto") if own else checkpoint
    flags = {flag: settings.pop(title(flag)) for flag in OF_CONDITIONS if title(flag) in settings}
    ready = settings.get("Condition") == READY
    if ready:
        del settings["Condition"]
    about = About(
        checkpoint="" if checkpoint == "auto" else checkpoint,
        decoders=DECODERS,
        styles=tuple(filter(None, [settings.get("Style") if found.parameters.ours else ""])),
        conditions=tuple(CONDITIONS),
    )
    rows = [row for row in OPTIONS if row.field not in ("template", "compare")]
    found = replace(found, parameters=replace(found.parameters, settings=settings))
    request, note = restored(found, rows, about)
    return Like(request | ({"condition": READY} if ready else {}), checkpoint, flags, note)


def fill(options: argparse.Namespace, like: Like, given: dict[str, Any]) -> None:
    """Give the options that are not in the table what the file says, where the user says nothing.
    given: what is asked for already, {field: value}."""
    options.checkpoint = like.checkpoint or options.checkpoint
    if "drawing" not in given or options.condition:
        return
    options.condition = like.request.get("condition")
    for flag, value in like.conditions.items():
        name = flag.replace("-", "_")
        if getattr(options, name) is None:
            setattr(options, name, _told(value, OF_CONDITIONS[flag].choices))


def _told(value: str, choices: tuple[str, ...]) -> Any:
    """An option of a condition; None for what is none."""
    with suppress(ValueError):
        return value if value in choices else None if choices else float(value)
    return None
