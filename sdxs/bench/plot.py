"""The picture of a benchmark: how long a whole picture takes, a bar a side, a panel a device.

It needs matplotlib (`pip install -e '.[train]'`). Knows nothing of how anything was measured.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdxs.errors import InputError

# the page's hues, see `sdxs.page.theme`: teal for ours, stone for the others, and for words
OURS, OTHERS, PAPER = "#14b8a6", "#d6d3d1", "#fafaf9"
INK, SUBDUED, LINES = "#292524", "#78716c", "#e7e5e4"
BAR, MARGIN = 0.42, 1.5  # inches: of a bar and the gap below it, of a panel around its bars


def pyplot() -> Any:
    """matplotlib's, for files alone. Raises InputError."""
    try:
        import matplotlib
    except ImportError:
        raise InputError("matplotlib is not there: pip install -e '.[train]'") from None
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def png(text: str) -> Path:
    """An argparse type: where a plot can go."""
    path = Path(text)
    if path.suffix.lower() != ".png":
        raise argparse.ArgumentTypeError(f"{text} does not end in .png")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path.parent}")
    return path


def draw(results: Sequence[Mapping[str, Any]], titles: Mapping[str, str], file: Path) -> None:
    """Save the plot of `python -m sdxs.bench`'s results, one of each device. titles: of the sides
    that are not ours. Raises InputError."""
    plt = pyplot()
    heights = [MARGIN + BAR * len(result["ms"]) for result in results]
    look = {"font.size": 10, "text.color": INK, "axes.labelcolor": SUBDUED, "xtick.color": SUBDUED}
    with plt.rc_context(look | {"ytick.color": INK}):
        figure = plt.figure(figsize=(9, sum(heights)), layout="constrained", facecolor=PAPER)
        figure.get_layout_engine().set(w_pad=0.15, h_pad=0.1)
        panels = figure.subfigures(len(results), height_ratios=heights, squeeze=False).flat
        for place, result in zip(panels, results, strict=True):
            panel(place, result, titles)
        figure.savefig(file, dpi=150)
        plt.close(figure)


def panel(place: Any, result: Mapping[str, Any], titles: Mapping[str, str]) -> None:
    """The bars of a device, the fastest on top; a whisker leads from a median to its p95."""
    place.set_facecolor(PAPER)
    width, height = result["size"]
    place.suptitle(
        f"Milliseconds from a new prompt to a picture\n"
        f"{result['checkpoint']}, {width} × {height}, on {hardware(result)}",
        x=0.02, ha="left", fontsize=12, linespacing=1.5,
    )  # fmt: skip
    place.supxlabel(
        f"Median of {result['rounds']} pictures, with a whisker to the 95th percentile; shorter is "
        f"better. {result['dtype']} where nothing else is said, torch {result['torch']}.",
        x=0.02, ha="left", fontsize=9, color=SUBDUED,
    )  # fmt: skip
    spans = {side: stages["whole"] for side, stages in result["ms"].items()}
    sides = sorted(spans, key=lambda side: spans[side]["median"])
    medians, ends = ([spans[side][number] for side in sides] for number in ("median", "p95"))
    axis = place.subplots()
    axis.barh(
        [titles.get(side, f"SDXS, {side}") for side in sides], medians,
        height=0.66, color=[OTHERS if side in titles else OURS for side in sides],
    )  # fmt: skip
    axis.hlines(range(len(sides)), medians, ends, color=SUBDUED, linewidth=1)
    axis.plot(ends, range(len(sides)), "|", color=SUBDUED, markersize=7)
    for row, (side, median, end) in enumerate(zip(sides, medians, ends, strict=True)):
        axis.annotate(
            f"{number(median)}, p95 {number(end)}", (end, row), (7, 0),
            textcoords="offset points", va="center",
            fontweight="normal" if side in titles else "bold",
        )  # fmt: skip
    axis.invert_yaxis()
    axis.xaxis.set_major_formatter("{x:,g}")
    axis.set_xlim(0, 1.22 * max(ends))
    axis.set_facecolor(PAPER)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    axis.set_axisbelow(True)
    axis.grid(axis="x", color=LINES)


def number(ms: float) -> str:
    return f"{ms:,.1f}" if ms < 100 else f"{ms:,.0f}"


def hardware(result: Mapping[str, Any]) -> str:
    return str(result["gpu"] or f"{result['cpu']}, {result['cores']} cores")
