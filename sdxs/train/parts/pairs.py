"""Noise-picture pairs as a folder holds them, read from the disk as they are asked for.

Chunk k is a file of its own: noises, latents, and the prompts that go with them. What is there are
the chunks up to the first that is missing, however they came. Knows nothing of how pairs are made.
"""

import functools
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch import distributed as dist
from tqdm import tqdm

from sdxs.train.parts.prompts import Grammar, Prompts, open_prompts
from sdxs.train.run import loop, stage
from sdxs.train.run.options import FACTOR

CHUNK, ABOUT = 64, "pairs.json"  # pairs in a file; what says how they were made
OPEN = 256  # files that are kept open
LOOK = 50  # steps between two looks for more
FOLLOW = f"learn from pairs while they are being made, once there are so many chunks of {CHUNK}"


def chunk_file(run: Path, number: int) -> Path:
    """Where a chunk lies."""
    return run / f"chunk-{number:05d}.safetensors"


def begun(text: str) -> Path:
    """An argparse type: the folder of pairs that are made, or being made."""
    if (Path(text) / ABOUT).is_file():
        return Path(text)
    return stage.finished_by("pairs")(text)


@dataclass(frozen=True)
class Chunk:
    """Noise and latents (CHUNK, 4, h, w) float16, not read yet but for the rows that are asked for,
    and their prompts."""

    noise: Any
    latents: Any
    prompts: list[str]

    @classmethod
    def open(cls, file: Path, seed: int) -> "Chunk":
        """seed: of the run. Files of before have no prompts: the grammar had made them."""
        try:
            with safe_open(file, "pt") as found:
                told = (found.metadata() or {}).get("prompts")
                noise, latents = found.get_slice("noise"), found.get_slice("latents")
        except (OSError, SafetensorError) as error:
            raise loop.TrainingError(
                f"{file} cannot be read ({error}): remove it, and make it again by the command "
                "that made the others"
            ) from None
        number = int(file.stem.rpartition("-")[2])
        return cls(noise, latents, json.loads(told) if told else _by_grammar(seed, number))


@functools.cache
def _by_grammar(seed: int, number: int) -> list[str]:
    return Grammar().chunk(seed, number, CHUNK)


class Pairs:
    """The pairs in a folder, of which no more are in memory than are asked for.

    prompts: where fresh ones come from, as `open_prompts` has it; None for where those of the pairs
    came from. follow: None for pairs that are all there; else so many chunks are waited for, and
    `look` finds more. side: of the learning model's pictures in pixels, if they must be as large.
    guidance: the one that the pictures were painted with. seen: how many chunks from which step on.
    Raises TrainingError.
    """

    def __init__(
        self,
        run: Path,
        prompts: str | None = None,
        follow: int | None = None,
        *,
        side: int | None = None,
    ) -> None:
        self.run, self.follow = run, follow
        self.chunks = self._there()
        if not (run / ABOUT).is_file() or not (self.chunks or follow):
            raise loop.TrainingError(f"no pairs in {run}: run python -m sdxs.train.pairs first")
        if not follow and not (run / stage.RESULT).exists():
            raise loop.TrainingError(
                f"the pairs in {run} are still being made: wait for their end, or learn from them "
                "meanwhile, distill or warmup with --follow"
            )
        self.settings: dict[str, Any] = json.loads((run / ABOUT).read_text())
        self.source: str | None = self.settings.pop("source", None)
        self.guidance: float = self.settings["guidance"] * self.settings.get("within", 1.0)
        self.chosen = open_prompts(prompts) if prompts else None
        self.seen: list[list[int]] = []
        self._open = functools.lru_cache(OPEN)(self._chunk)
        if follow:
            self._wait(follow)
        if side and side != (painted := FACTOR * self._shape[-1]):
            raise loop.TrainingError(
                f"the pairs in {run} are of {painted} pixels a side, the model that learns from "
                f"them paints {side}: give pairs of a model of its size"
            )

    @property
    def facts(self) -> dict[str, Any]:
        """What a stage records of the pairs that it learns from."""
        many = {"follow": self.follow} if self.follow else {"count": len(self)}
        facts: dict[str, Any] = {"pairs": {**self.settings, **many}}
        return facts | ({"prompts": self.chosen.facts} if self.chosen else {})

    @property
    def parts(self) -> dict[str, loop.Stateful]:
        """What a stage's state holds of them: of pairs that are all there, nothing."""
        return {"pairs": self} if self.follow else {}

    @property
    def latents(self) -> "Latents":
        """Of all pairs."""
        return Latents(self)

    def __len__(self) -> int:
        return self.chunks * CHUNK

    def batch(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, list[str]]:
        """Random noise and latents, (count, 4, h, w) float32 each, and their prompts."""
        return self.at(self.rows(count, generator))

    def fresh(self, count: int, generator: torch.Generator) -> tuple[Tensor, list[str]]:
        """Noise (count, 4, h, w) and prompts that belong to no pair."""
        texts = self._fresh.draw(loop.plain(generator), count)
        return torch.randn((count, *self._shape), generator=generator), texts

    def rows(self, count: int, generator: torch.Generator) -> Tensor:
        """Random places among the pairs, (count,)."""
        return torch.randint(len(self), (count,), generator=generator)

    def at(self, rows: Tensor) -> tuple[Tensor, Tensor, list[str]]:
        """What `batch` gives, of chosen places."""
        found = [(self._open(row // CHUNK), row % CHUNK) for row in rows.tolist()]
        noise, latents = torch.empty(2, len(found), *self._shape)
        for place, (chunk, row) in enumerate(found):
            noise[place], latents[place] = chunk.noise[row], chunk.latents[row]
        return noise, latents, [chunk.prompts[row] for chunk, row in found]

    def look(self, step: int) -> None:
        """Of pairs that are followed, take in those that have come, every LOOK steps.

        All ranks must call it alike: they see as many as the first of them.
        """
        if not self.follow or step % LOOK:
            return
        there = [self._there(self.chunks)]
        if dist.is_available() and dist.is_initialized():
            dist.broadcast_object_list(there)
        (self.chunks,) = there
        if not self.seen or self.seen[-1][1] != self.chunks:
            self.seen.append([step, self.chunks])

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen, "chunks": self.chunks}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the chunks that were there for the step. Raises TrainingError if some are
        gone."""
        self.seen, self.chunks = state_dict["seen"], state_dict["chunks"]
        if (there := self._there()) < self.chunks:
            raise loop.TrainingError(
                f"{self.run} holds {there} chunks of pairs, of {self.chunks} that the run had "
                "learnt from: bring them back, or use another --run"
            )

    @property
    def _shape(self) -> list[int]:
        """Of a picture's noise or latents."""
        return self._open(0).noise.get_shape()[1:]

    @functools.cached_property
    def _fresh(self) -> Prompts:
        if self.chosen is not None:
            return self.chosen
        try:
            found = open_prompts(self.source)
        except loop.TrainingError as error:
            raise loop.TrainingError(f"{error}; or give fresh prompts by --prompts") from None
        if found.facts != self.settings.get("prompts", {}):
            raise loop.TrainingError(
                f"{self.source} no longer holds the prompts that the pairs in {self.run} were made "
                "of: give those, or others, by --prompts"
            )
        return found

    def _chunk(self, number: int) -> Chunk:
        return Chunk.open(chunk_file(self.run, number), self.settings["seed"])

    def _there(self, first: int = 0) -> int:
        """How many chunks there are, one after the other."""
        while chunk_file(self.run, first).exists():
            first += 1
        return first

    def _wait(self, count: int, seconds: float = 1.0) -> None:
        """Until there are so many chunks. Raises TrainingError where no more will come."""
        bar = tqdm(total=count, desc="waiting for pairs", unit="chunk", dynamic_ncols=True)
        with bar:
            while self.chunks < count:
                finished = (self.run / stage.RESULT).exists()
                self.chunks = self._there(self.chunks)
                bar.update(min(count, self.chunks) - bar.n)
                if finished and self.chunks < count:
                    raise loop.TrainingError(
                        f"{self.run} is finished with {self.chunks} chunks: --follow waits for "
                        f"{count}; leave it out"
                    )
                if self.chunks < count:
                    time.sleep(seconds)


@dataclass(frozen=True)
class Latents:
    """Those of all pairs, (N, 4, h, w) float16, of which the slices are read that are asked for."""

    pairs: Pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, rows: slice) -> Tensor:
        first, last, _ = rows.indices(len(self))
        parts = [self.pairs._open(0).latents[:0]]
        for number in range(first // CHUNK, -(-last // CHUNK)):
            start = number * CHUNK
            parts.append(self.pairs._open(number).latents[max(first - start, 0) : last - start])
        return torch.cat(parts)
