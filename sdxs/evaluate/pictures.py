"""Pictures written as they are painted, and not painted again when a command is called again.

Beside them `pictures.json` says how they were made, `seconds.jsonl` how long it took. Knows nothing
of models nor of scores.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sdxs.errors import InputError
from sdxs.evaluate.painters import Painter

SETTINGS, SECONDS, UNFINISHED = "pictures.json", "seconds.jsonl", "unfinished.png"


@dataclass(frozen=True)
class Task:
    """A picture to be made. file: below the folder of all."""

    file: Path
    prompt: str
    seed: int


def paint(
    folder: Path,
    tasks: Sequence[Task],
    settings: Mapping[str, Any],
    opened: Callable[[], Painter],
    batch: int = 1,
    title: str = "",
) -> dict[str, Any]:
    """Make what is missing, and say how all were made: `settings`, the painter's facts, a picture's
    seconds as the median of all batches but each call's first (None where nothing was painted).

    opened: loads the painter, if it is needed. Raises InputError where the folder holds pictures of
    other settings.
    """
    listed = json.dumps([[str(task.file), task.prompt, task.seed] for task in tasks])
    known = {**settings, "tasks": hashlib.sha256(listed.encode()).hexdigest()[:16]}
    index = folder / SETTINGS
    kept = _kept(index, known)
    missing = [task for task in tasks if not (folder / task.file).is_file()]
    if missing or kept is None:
        painter = opened()
        folder.mkdir(parents=True, exist_ok=True)
        kept = {**known, **painter.facts}
        index.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
        _fill(folder, missing, painter, batch, title, len(tasks))
    return {**kept, "pictures": len(tasks), "seconds": _seconds(folder)}


def _kept(index: Path, known: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a folder says of its pictures. Raises InputError."""
    try:
        kept: dict[str, Any] = json.loads(index.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        raise InputError(f"{index} cannot be read: remove it with its pictures") from None
    for name, value in known.items():
        if kept.get(name) != value:
            was = "prompts" if name == "tasks" else f"{name} {kept.get(name)}, not {value}"
            raise InputError(
                f"{index.parent} holds pictures of other {'' if name == 'tasks' else 'settings: '}"
                f"{was}; give another --out, or remove it"
            )
    return kept


def _fill(
    folder: Path, missing: Sequence[Task], painter: Painter, batch: int, title: str, total: int
) -> None:
    bar = tqdm(desc=title, total=total, initial=total - len(missing), unit="picture", disable=None)
    with bar, (folder / SECONDS).open("a", encoding="utf-8") as log:
        for first in range(0, len(missing), batch):
            some = missing[first : first + batch]
            start = time.perf_counter()
            prompts, seeds = [task.prompt for task in some], [task.seed for task in some]
            painted = painter.paint(prompts, seeds)
            spent = time.perf_counter() - start
            for task, picture in zip(some, painted, strict=True):
                place = folder / task.file
                place.parent.mkdir(parents=True, exist_ok=True)
                picture.save(folder / UNFINISHED)
                (folder / UNFINISHED).replace(place)  # whole or not there
            line = {"pictures": len(some), "seconds": spent, "warm": first > 0}
            print(json.dumps(line), file=log, flush=True)
            bar.update(len(some))


def _seconds(folder: Path) -> float | None:
    """Of a picture."""
    try:
        lines = (folder / SECONDS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    rows = [json.loads(line) for line in lines if line.endswith("}")]  # one may have been cut off
    spans = sorted(row["seconds"] / row["pictures"] for row in rows if row["warm"])
    return round(spans[len(spans) // 2], 6) if spans else None
