"""The errors that a user can meet. Each message is one line: it names the thing and the remedy."""

import difflib
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

TORCH = "pip install 'sdxs[torch]'"
NEEDS_TORCH = f"sdxs: this command needs PyTorch: {TORCH}"


class SDXSError(Exception):
    """Base of every error that this package raises on purpose."""


class InputError(SDXSError, ValueError):
    """A request that cannot be carried out as asked (a wrong prompt, seed, size, option)."""


class NothingToFollow(InputError):
    """A blank drawing or photo: a control has no line in it to follow."""


class CheckpointError(SDXSError):
    """A checkpoint that is missing, incomplete, damaged, or of an unknown kind."""


class NotFiniteError(SDXSError):
    """Networks gave numbers that are not finite: of a dtype that does not hold them, or weights."""


class PictureWarning(UserWarning):
    """Something about pictures of a call. rows: the indices of the prompts that it is about."""

    def __init__(self, message: str = "", rows: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.rows = tuple(rows)


class PromptCutWarning(PictureWarning):
    """A prompt was longer than the text encoder's window: names the words that were left out."""


class SafetyWarning(PictureWarning):
    """The safety checker flagged pictures, and they were blurred beyond recognition."""


warnings.simplefilter("always", SafetyWarning, append=True)  # each time, unless a program objects


_commanded = False  # whether this program is a command, with options


@contextmanager
def commanded() -> Iterator[None]:
    """While a command runs: `option` speaks as its user does."""
    global _commanded
    before, _commanded = _commanded, True
    try:
        yield
    finally:
        _commanded = before


def option(name: str, value: str) -> str:
    """What to write to choose something, in the words of whoever asks: an argument in Python, an
    option on the command line."""
    return f"--{name} {value}" if _commanded else f'{name}="{value}"'


def one_line(thing: object, most: int = 200) -> str:
    """A text, or what an error says, in at most `most` characters that a terminal can show."""
    text = "".join(letter if letter.isprintable() else " " for letter in str(thing)[: 10 * most])
    text = " ".join(text.split()) or type(thing).__name__
    return text if len(text) <= most else text[: most - 1] + "…"


def sentence(error: object, most: int = 240) -> str:
    """An error as one line that begins and ends as a sentence does."""
    text = one_line(error, most)
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "…")) else ".")


def did_you_mean(name: object, known: Sequence[str], written: Callable[[str], str] = str) -> str:
    """The known name that is nearest to a mistaken one, as a question; "" if none is near."""
    close = difflib.get_close_matches(name, known, n=1) if isinstance(name, str) else []
    return f"did you mean {written(close[0])}? " if close else ""


@contextmanager
def blaming(
    problem: str, remedy: str = "", kinds: tuple[type[Exception], ...] = (Exception,)
) -> Iterator[None]:
    """Whatever libraries raise over foreign files becomes a CheckpointError: what the problem is,
    what they say of it in brackets, and the remedy. kinds: of errors; others go on as they are."""
    try:
        yield
    except CheckpointError:
        raise
    except kinds as error:
        raise CheckpointError(f"{problem} ({one_line(error)}){remedy}") from None


def shown(value: object) -> str:
    """A value as Python writes it, in at most 40 characters."""
    try:
        return one_line(repr(value), 40)
    except ValueError:  # a whole number of thousands of digits
        return "one that large"
