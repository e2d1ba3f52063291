"""Pictures for several requests at once, by as few calls as can be, and what is said of each.

A request is a generator, which yields what it has `Asked` for, is sent what was `Painted`, and
returns what it makes of that. Several go on in step, and what they ask for in the same step is one
batch where `options.common` allows it. Knows nothing of turns, files or visitors.
"""

import logging
import time
import warnings
from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from PIL import Image

from sdxs.errors import PictureWarning, one_line
from sdxs.service import options

log = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True)
class Asked:
    """A picture that a request asks for. told: the keywords of `generate`."""

    prompt: str
    told: dict[str, Any]


@dataclass(frozen=True)
class Painted:
    """A picture, what was said of it, and how long its call took."""

    picture: Image.Image
    warnings: tuple[PictureWarning, ...]
    ms: float


def in_step(
    generate: Callable[..., Any], requests: Sequence[Generator[Asked, Painted, Result]]
) -> list[Result | Exception]:
    """What each request returns or raises. What a picture of its own fails with is raised in it."""
    outcomes: dict[int, Result | Exception] = {}
    answers: dict[int, Painted | Exception | None] = dict.fromkeys(range(len(requests)))
    while answers:
        asked: dict[int, Asked] = {}
        for place, answer in answers.items():
            try:
                asked[place] = _go_on(requests[place], answer)
            except StopIteration as end:
                outcomes[place] = end.value
            except Exception as error:
                outcomes[place] = error
        answers = dict(zip(asked, painted(generate, list(asked.values())), strict=True))
    return [outcomes[place] for place in range(len(requests))]


def _go_on(request: Generator[Asked, Painted, Any], answer: Painted | Exception | None) -> Asked:
    """The next picture that a request asks for, after the answer to the last one."""
    if answer is None:
        return next(request)
    return request.throw(answer) if isinstance(answer, Exception) else request.send(answer)


def painted(generate: Callable[..., Any], asked: Sequence[Asked]) -> list[Painted | Exception]:
    """A picture for each, or why there is none. `generate` gives a picture for a prompt, pictures
    for a list of prompts; where that fails each is tried alone."""
    batches: dict[Hashable, list[int]] = {}
    for place, one in enumerate(asked):
        batches.setdefault(options.common(one.told), []).append(place)
    outcomes: dict[int, Painted | Exception] = {}
    for places in batches.values():
        batch = [asked[place] for place in places]
        outcomes |= zip(places, _batch(generate, batch), strict=True)
    return [outcomes[place] for place in range(len(asked))]


def _batch(generate: Callable[..., Any], batch: list[Asked]) -> Sequence[Painted | Exception]:
    try:
        return _call(generate, batch)
    except Exception as error:
        if len(batch) == 1:
            return [error]
        log.warning("%d pictures, each alone, not at once: %s", len(batch), one_line(error))
    return [_batch(generate, [one])[0] for one in batch]


def _call(generate: Callable[..., Any], batch: list[Asked]) -> list[Painted]:
    """One call. Raises whatever it raises. In a batch, a warning that names no row is nobody's: it
    may be about another's prompt."""
    first, alone, start = batch[0], len(batch) == 1, time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:  # safe: one turn at a time
        warnings.simplefilter("always", PictureWarning)
        if alone:
            pictures = [generate(first.prompt, **first.told)]
        else:
            told = options.columns([one.told for one in batch])
            pictures = generate([one.prompt for one in batch], **told)
    ms = 1000 * (time.perf_counter() - start)
    said = [warning.message for warning in caught if isinstance(warning.message, PictureWarning)]
    return [
        Painted(picture, tuple(warning for warning in said if alone or row in warning.rows), ms)
        for row, (_, picture) in enumerate(zip(batch, pictures, strict=True))
    ]
