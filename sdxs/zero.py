"""ZeroGPU, where a Space has a GPU for the length of a call: Hugging Face's package `spaces`.

Its rules: it is imported before torch; models are put on "cuda" before the page is launched, which
is pretended until then, too badly to paint; what computes is wrapped and runs in a fork that has
the GPU, so that only what can be pickled comes back. A visitor pays for the seconds from a quota of
their own, which the headers of their request name. Knows nothing of torch, Gradio or pages.
"""

import argparse
import functools
import importlib
import os
import re
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from sdxs.errors import PictureWarning, SDXSError, one_line

SECONDS = 5  # of the GPU that a call asks for; the fewer, the sooner it has its turn
USUAL = {  # nothing can be tried before there is a GPU, and graphs would end with the fork
    "device": "cuda",
    "dtype": "bfloat16",
    "engine": "eager",
}
LATER = 60  # seconds
WAIT = re.compile(r"again in (?:(\d+) days?, )?(\d+):(\d\d):(\d\d)")
BROKEN = "ZeroGPU worker error"  # the title of what is said of a fork that failed

Painter = TypeVar("Painter", bound=Callable[..., Any])


class NoGPU(SDXSError):
    """No GPU could be had: the visitor's quota is spent, or none was free in time. retry_after:
    whole seconds, 1 or more, as Hugging Face says it ("Try again in 0:25:31") or else `LATER`."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        said = WAIT.search(message)
        days, hours, minutes, seconds = map(int, said.groups("0")) if said else (0, 0, 0, 0)
        self.retry_after = ((24 * days + hours) * 60 + minutes) * 60 + seconds or LATER


def is_lent() -> bool:
    """Whether this program runs on ZeroGPU, as `spaces` sees it."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def prepare(options: argparse.Namespace) -> None:
    """Before torch is imported, on ZeroGPU; options of a page that are "auto" become `USUAL`."""
    importlib.import_module("spaces")
    for name, value in USUAL.items():
        if getattr(options, name) == "auto":
            setattr(options, name, value)


def borrowing(paint: Painter) -> Painter:
    """The same function, with a GPU for each call. What it warns of, and what it raises of ours,
    reaches the caller. Raises NoGPU, too."""
    spaces = importlib.import_module("spaces")

    def lent(arguments: Any, options: Any) -> tuple[Any, list[PictureWarning], SDXSError | None]:
        result, error = None, None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", PictureWarning)
            try:
                result = paint(*arguments, **options)
            except SDXSError as raised:
                error = raised
        said = [each.message for each in caught if isinstance(each.message, PictureWarning)]
        return result, said, error

    on_gpu = spaces.GPU(duration=SECONDS)(lent)

    @functools.wraps(paint)
    def borrow(*arguments: Any, **options: Any) -> Any:
        try:
            result, said, error = on_gpu(arguments, options)
        except Exception as refusal:  # of those with a message that is for the visitor, but for one
            message = getattr(refusal, "message", None)
            if not message or getattr(refusal, "title", "") == BROKEN:
                raise
            raise NoGPU(one_line(message)) from None
        for warning in said:
            warnings.warn(warning, stacklevel=2)
        if error:
            raise error
        return result

    return borrow  # type: ignore[return-value]
