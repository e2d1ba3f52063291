"""What was seen of a page under load, in numbers, and what of it misses its target.

Knows nothing of who asks, or how.
"""

import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SPREAD = 1.5  # of p99 to p50 at most, where everybody always waits
Row = dict[str, Any]


@dataclass
class Heard:
    """Listens to locust: milliseconds by what was asked, and what went wrong."""

    ms: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    wrong: Counter[str] = field(default_factory=Counter)

    def __call__(self, name: str, response_time: float, exception: Any, **_: Any) -> None:
        if exception:
            self.wrong[f"{name}: {' '.join(str(exception).split())[:200]}"] += 1
        else:
            self.ms[name].append(response_time)


def typed(heard: Heard, visitors: int, rate: float, bursts: int, memory: float) -> Row:
    """Of people who type. rate: pictures a second. memory: MB, 0 for unknown."""
    ms = heard.ms
    return {
        "visitors": visitors,
        "pictures/s": round(rate, 1),
        "request, ms": percentiles(ms["picture"]),
        "key to picture, ms": percentiles(ms["key"]),
        "last key to picture, ms": percentiles(ms["last key"]),
        "bursts": bursts,
        "lost": bursts - len(ms["last key"]),
        "replaced": len(ms["replaced"]),
        "stale": len(ms["stale"]),
        "again": len(ms["again"]),
        "errors": heard.wrong.total(),
        "MB": round(memory),
    }


def crowded(heard: Heard, users: int, rate: float, asked: int, memory: float) -> Row:
    """Of users who always wait, but for their first pictures: then the last comers find the page
    cold. See `typed`."""
    middle, high, highest = percentiles(heard.ms["picture"][users:])
    return {
        "users": users,
        "pictures/s": round(rate, 1),
        "asked": asked,
        "lost": asked - len(heard.ms["picture"]),
        "ms": (middle, high, highest),
        "p99/p50": round(highest / middle, 2) if middle else 0.0,
        "errors": heard.wrong.total(),
        "MB": round(memory),
    }


def missed(row: Row) -> list[str]:
    """The targets that a row misses."""
    said = [f"{row[what]} {what}" for what in ("lost", "errors", "more") if row.get(what)]
    if not row["pictures/s"]:
        said.append("no picture")
    if (spread := row.get("p99/p50", 0)) > SPREAD:
        said.append(f"p99/p50 {spread}, at most {SPREAD}")
    return said


def percentiles(values: Sequence[float]) -> tuple[float, float, float]:
    """The 50th, 95th and 99th, rounded to a tenth; zeros of nothing."""
    some = [*values, *values] or [0.0, 0.0]  # of one value, too
    cuts = statistics.quantiles(some, n=100, method="inclusive")
    return round(cuts[49], 1), round(cuts[94], 1), round(cuts[98], 1)


def levels(one: Path, other: Path) -> int:
    """By how much two pictures differ at the most, of 255."""
    pixels = [np.asarray(Image.open(file).convert("RGB"), np.int16) for file in (one, other)]
    return int(np.abs(pixels[0] - pixels[1]).max())


def table(rows: Sequence[Row]) -> str:
    """In Markdown. The rows have the same titles; percentiles stand as p50 / p95 / p99."""
    lines = [list(rows[0]), ["--:"] * len(rows[0]), *(map(_shown, row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return " / ".join(f"{ms:,.0f}" for ms in value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def report(
    rows: Sequence[Row], wrong: Mapping[str, int], missing: Sequence[str], **told: Any
) -> int:
    """Print a table, what went wrong, what was missed, and all of it as a line of JSON with the
    hardware; the exit status."""
    from sdxs.granted import granted_cores
    from sdxs.model.hardware import cpu_name  # torch comes with it

    machine = {"cpu": cpu_name(), "cores": granted_cores()}
    print(table(rows))
    print(f"On {machine['cores']} cores of {machine['cpu']}, those who ask included.")
    for line, count in sorted(wrong.items(), key=lambda one: -one[1])[:10]:
        print(f"{count} x {line}")
    for one in missing:
        print(f"missed: {one}")
    print(json.dumps({**told, **machine, "rows": list(rows), "missed": list(missing)}))
    return bool(missing)
