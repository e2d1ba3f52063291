"""Where the stages' prompts come from: the storybook's grammar, a file, a data set.

A source gives them in chunks, each a function of (seed, number) alone, and fresh ones by chance. A
file or a data set is an Arrow table on the disk (the library `datasets`): none is ever in memory as
a whole, nor is the order in which its prompts are taken. Knows nothing of pictures, nor of ranks.
"""

import hashlib
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from sdxs.errors import one_line
from sdxs.storybook.world.captions import as_typed, describe
from sdxs.storybook.world.scenes import sample_scene
from sdxs.train.parts.folder import METADATA
from sdxs.train.run import loop

FIELDS = ("text", "caption", "prompt")  # what prompts are usually called
READERS = {".txt": "text", ".csv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet"}
HELP = (
    f"FILE[:FIELD], one of {', '.join(READERS)}, or the name of a data set, NAME[@REVISION][:FIELD]"
)
FRESH = f"prompts that belong to no pair (default: those that the pairs were made of): {HELP}"
FEW = 10_000  # prompts that are read at once
ROUNDS = 10  # of the network that shuffles: with fewer, some orders of few prompts are the likelier


class Prompts(Protocol):
    """A source of prompts.

    source: what `open_prompts` makes it of again, with the file's whole path. facts: what tells its
    prompts from others', for a state and a result to record; empty for the grammar.
    """

    source: str | None
    facts: dict[str, Any]

    def chunk(self, seed: int, number: int, count: int) -> list[str]:
        """A chunk's prompts: a function of the seed and the chunk's number alone."""

    def draw(self, rng: random.Random, count: int) -> list[str]:
        """Prompts by chance."""


def open_prompts(source: str | None) -> Prompts:
    """By what a person wrote, as `HELP` has it; None is the grammar. Raises TrainingError."""
    return Grammar() if source is None else Table(source)


def check_place(source: str | None) -> None:
    """Raises TrainingError for what names a file or a folder that is not there, without a look into
    it; the name of a data set is not asked for."""
    place, _ = _split(source or ".")
    named = Path(place).suffix in READERS or place.startswith((".", "~", "/"))
    if named and not Path(place).exists():
        raise loop.TrainingError(f"there is no {place}: give one that is there")


class Grammar:
    """Scenes as training may see them, written as people type; those of the composition test
    never occur."""

    def __init__(self) -> None:
        self.source: str | None = None
        self.facts: dict[str, Any] = {}

    def chunk(self, seed: int, number: int, count: int) -> list[str]:
        return self.draw(random.Random(f"{seed}/{number}"), count)

    def draw(self, rng: random.Random, count: int) -> list[str]:
        return [as_typed(describe(sample_scene(rng), rng).text, rng) for _ in range(count)]


class Table:
    """The prompts of a file or of a data set, in a pseudo-random order: each once before any twice.

    Blank ones are left out. Raises TrainingError, in one line.

    whole: the same rows with their other fields.
    """

    def __init__(self, source: str) -> None:
        place, field = _split(source)
        self.source: str | None = source
        if Path(place).suffix in READERS or Path(place).exists():
            self.source = str(Path(place).resolve()) + (f":{field}" if field else "")
            rows = _of_file(place)
        else:
            rows = _of_name(place)
        with _told(place, "check what is in it"):
            self.field = _field(rows.features, place, field)
            self.whole, there = rows, len(rows)
            self.facts = self._seen()
            if not (kept := self.facts["count"]):
                raise loop.TrainingError(
                    f"{place} holds no prompts{f': its {there} rows are blank' if there else ''}"
                )
            if kept < there:
                tqdm.write(f"{place}: {there - kept} of {there} rows are blank and are left out",
                           file=sys.stderr)  # fmt: skip
                self.whole = rows.filter(_worded, batched=True, input_columns=[self.field])
            self.rows = self.whole.select_columns([self.field])

    def chunk(self, seed: int, number: int, count: int) -> list[str]:
        places = []
        for position in range(number * count, (number + 1) * count):
            turn, place = divmod(position, len(self.rows))
            places.append(shuffled(place, len(self.rows), f"{seed}/{turn}"))
        return self._at(places)

    def draw(self, rng: random.Random, count: int) -> list[str]:
        return self._at([rng.randrange(len(self.rows)) for _ in range(count)])

    def _at(self, places: list[int]) -> list[str]:
        return [text.strip() for text in self.rows[places][self.field]]

    def _seen(self) -> dict[str, Any]:
        """What tells the prompts from others', by a look at each."""
        digest, count = hashlib.sha256(), 0
        rows = self.whole.select_columns([self.field])
        with tqdm(total=len(rows), desc="prompts", delay=5, dynamic_ncols=True) as bar:
            for few in rows.with_format("arrow").iter(FEW):
                texts = few[self.field].to_pylist()
                kept = [text.strip() for text in texts if text and text.strip()]
                digest.update("\0".join([*kept, ""]).encode())
                count += len(kept)
                bar.update(len(texts))
        return {"fingerprint": digest.hexdigest()[:16], "count": count}


def shuffled(place: int, count: int, key: str) -> int:
    """Where `place` comes in a pseudo-random order of range(count), which is never written down.

    A Feistel network over the next power of four, walked until it is back within the range (Black
    and Rogaway, "Ciphers with arbitrary finite domains", 2002, section 4).
    """
    bits = max(1, ((count - 1).bit_length() + 1) // 2)
    while True:
        left, right = place >> bits, place & (1 << bits) - 1
        for turn in range(ROUNDS):
            drawn = hashlib.blake2b(f"{key}/{turn}/{right}".encode(), digest_size=8).digest()
            left, right = right, left ^ int.from_bytes(drawn) & (1 << bits) - 1
        place = left << bits | right
        if place < count:
            return place


def _split(source: str) -> tuple[str, str]:
    """Place and field, "" for none; a path may hold a colon itself."""
    place, colon, field = source.rpartition(":")
    if not colon or Path(source).exists() or {*"/\\"} & {*field}:
        return source, ""
    return place, field


def _of_file(place: str) -> Any:
    """A file's rows, a `datasets.Dataset`."""
    path = Path(place)
    if (path / METADATA).is_file():  # captioned pictures
        path = path / METADATA
    if path.is_dir():
        raise loop.TrainingError(f"{place} is a folder: name one file in it, {_known()}")
    if path.suffix not in READERS:
        raise loop.TrainingError(f"{place} is no file of prompts: they are read from {_known()}")
    if not path.is_file():
        raise loop.TrainingError(f"there is no file {place}: prompts are read from {_known()}")
    if not path.stat().st_size:
        raise loop.TrainingError(f"{place} is empty: write a prompt a line into it")
    read: Callable[..., Any] = getattr(_library().Dataset, f"from_{READERS[path.suffix]}")
    how = {"encoding": "utf-8-sig"} if path.suffix in (".txt", ".csv") else {}
    with _told(place, "check what is in it"):
        return read(str(path), **how)


def _of_name(place: str) -> Any:
    """The training rows of a data set by its name, from the Hub or from its cache."""
    name, _, revision = place.partition("@")
    with _told(place, "is it a file, or a data set of huggingface.co with rows to train on?"):
        return _library().load_dataset(name, revision=revision or None, split="train")


def _field(features: Any, place: str, wanted: str) -> str:
    """Which field of the rows holds the prompts."""
    usual = [wanted] if wanted else [name for name in FIELDS if name in features]
    there = ", ".join(features)
    if wanted and wanted not in features:
        raise loop.TrainingError(f"{place} has no field {wanted}: it has {there}")
    if len(usual) != 1:
        raise loop.TrainingError(f"which field of {place} are the prompts? Say {place}:FIELD, one "
                                 f"of {there}")  # fmt: skip
    if getattr(features[usual[0]], "dtype", "") not in ("string", "large_string"):
        raise loop.TrainingError(f"{place}: what is in {usual[0]} is not text: name another of "
                                 f"its fields, {there}")  # fmt: skip
    return usual[0]


def _worded(texts: list[str | None]) -> list[bool]:
    """Which are not blank."""
    return [bool(text and text.strip()) for text in texts]


def _library() -> Any:
    """The package `datasets`, which takes a second to import."""
    try:
        import datasets
    except ImportError:
        raise loop.TrainingError(
            "prompts of files and data sets need the package datasets: pip install -e '.[train]'"
        ) from None
    return datasets


@contextmanager
def _told(place: str, remedy: str) -> Iterator[None]:
    """What the library has to say of a source, in one line."""
    logging = _library().logging
    before = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    except loop.TrainingError:
        raise
    except Exception as error:  # the library's own, Arrow's, pandas', the Hub's, of many kinds
        reason: BaseException = error
        while reason.__cause__ is not None:
            reason = reason.__cause__
        if isinstance(reason, UnicodeDecodeError):
            raise loop.TrainingError(f"{place} is not UTF-8: save it as UTF-8 text") from None
        raise loop.TrainingError(
            f"no prompts can be read from {place} ({one_line(reason, 120)}): {remedy}"
        ) from None
    finally:
        logging.set_verbosity(before)


def _known() -> str:
    *most, last = READERS
    return f"{', '.join(most)} or {last}"
