"""From waypoints to frames: where on its way each picture of a walk is.

A waypoint is a prompt and a seed. Knows nothing of how a picture in between comes about, which is
a function's business.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from sdxs import arguments
from sdxs.errors import InputError, shown
from sdxs.sizes import is_list

FRAMES = 48  # of a walk of which nobody says more
MOST_FRAMES = 3600
NOWHERE = "a walk leads from one picture to another: give two prompts, or two seeds"


@dataclass(frozen=True)
class Waypoint:
    prompt: str
    seed: int


@dataclass(frozen=True)
class Step:
    """A frame: `walk`, from 0 to 1, on the way from one waypoint to the next one."""

    start: Waypoint
    end: Waypoint
    walk: float


def waypoints(prompts: Any, seeds: Any) -> list[Waypoint]:
    """Two or more, of a prompt or several and of a seed or several. Raises InputError."""
    many = [len(value) for value in (prompts, seeds) if is_list(value)]
    if not many or max(many) < 2:
        raise InputError(NOWHERE)
    if min(many) < max(many):
        raise InputError(f"a walk has a seed for each prompt, or one: not {many[1]} for {many[0]}")
    prompts, seeds = (
        list(value) if is_list(value) else [value] * many[0] for value in (prompts, seeds)
    )
    return [
        Waypoint(arguments.prompt(prompt), arguments.seed(seed))
        for prompt, seed in zip(prompts, seeds, strict=True)
    ]


def frame_count(value: Any, most: int = MOST_FRAMES, name: str = "frames") -> int:
    """How many pictures a walk has. Raises InputError."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not 2 <= value <= most:
        raise InputError(f"{name} must be a whole number from 2 to {most:,}, not {shown(value)}")
    return int(value)


def steps(way: Sequence[Waypoint], frames: int, loop: bool = False) -> list[Step]:
    """So many frames, evenly along the way, the first at its beginning and the last at its end. A
    loop goes on to the beginning: its last frame is the one before that."""
    stops = [*way, way[0]] if loop else list(way)
    legs, gaps = len(stops) - 1, frames if loop else frames - 1
    found = []
    for frame in range(frames):
        leg, rest = divmod(frame * legs, gaps)
        if leg == legs:  # the very end
            leg, rest = leg - 1, gaps
        found.append(Step(stops[leg], stops[leg + 1], rest / gaps))
    return found


def pictures(
    paint: Callable[..., list[Image.Image]],
    offer: arguments.Offer,
    prompts: Any,
    *,
    seeds: Any,
    frames: Any,
    loop: bool,
    together: int,
    asked: dict[str, Any],
) -> Iterator[Image.Image]:
    """What `SDXS.walk` gives, by its `__call__`. All but the pictures is done at once, and raises
    InputError."""
    way = waypoints(prompts, seeds)
    taken = {"seed", "to_prompt", "to_seed", "walk", "latents", "output_type"} & asked.keys()
    if taken:
        raise InputError(f"walk takes prompts and seeds, not {', '.join(sorted(taken))}")
    arguments.check(offer, way[0].prompt, **asked)  # before the first one is asked for
    along = steps(way, frame_count(frames), loop)

    def painted() -> Iterator[Image.Image]:
        for first in range(0, len(along), together):
            few = along[first : first + together]
            yield from paint(
                [step.start.prompt for step in few],
                seed=[step.start.seed for step in few],
                to_prompt=[step.end.prompt for step in few],
                to_seed=[step.end.seed for step in few],
                walk=[step.walk for step in few],
                **asked,
            )

    return painted()
