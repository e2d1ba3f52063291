"""The tables as bars. Needs matplotlib; knows nothing of how anything was measured."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdxs.bench.plot import INK, LINES, OTHERS, OURS, PAPER, SUBDUED, number, pyplot
from sdxs.evaluate.efficiency import HEADINGS
from sdxs.evaluate.stages import STAGES

COLOURS = {"text": "#a8a29e", "unet": OURS, "decoder": "#f59e0b"}
BAR, MARGIN = 0.42, 1.3  # inches: of a bar and the gap below it, of a panel around its bars
SCORES = {"fid": "FID, lower is better", "clip": "CLIP score, higher is better"}


def efficiency(result: Mapping[str, Any], file: Path) -> None:
    """Save a panel for each size of pictures: a bar a model, its stages one after the other."""
    timed = [row for row in result["rows"] if row["ms"]]
    numbers = [number for number in HEADINGS if any(row["number"] == number for row in timed)]
    panels = {
        HEADINGS[number]: sorted((row for row in timed if row["number"] == number), key=_ms)
        for number in numbers
    }
    plt = pyplot()
    with plt.rc_context({"text.color": INK, "ytick.color": INK, "xtick.color": SUBDUED}):
        heights = [MARGIN + BAR * len(rows) for rows in panels.values()] or [MARGIN]
        figure, axes = plt.subplots(
            len(panels) or 1, figsize=(9, sum(heights)), height_ratios=heights, squeeze=False,
            layout="constrained", facecolor=PAPER,
        )  # fmt: skip
        for axis, (heading, rows) in zip(axes.flat, panels.items(), strict=False):
            _stacked(axis, rows)
            axis.set_title(f"Milliseconds a picture, {heading}", loc="left", fontsize=11)
        if panels:
            named = axes.flat[0].get_legend_handles_labels()
            figure.legend(*named, frameon=False, loc="outside upper right", ncols=len(STAGES))
        figure.supxlabel(f"{result['hardware']}, {result['dtype']}", fontsize=9, color=SUBDUED)
        figure.savefig(file, dpi=150)
        plt.close(figure)


def _ms(row: Mapping[str, Any]) -> float:
    return float(row["ms"])


def _stacked(axis: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    names = [row["title"] for row in rows]
    ends = [0.0] * len(rows)
    for stage, title in STAGES.items():
        found = [row["stages"][stage] for row in rows]
        spans = [each["ms"]["median"] * each["evaluations"] for each in found]
        axis.barh(names, spans, left=ends, height=0.66, color=COLOURS[stage], label=title)
        ends = [end + span for end, span in zip(ends, spans, strict=True)]
    _dress(axis, [number(end) for end in ends], ends)


def quality(result: Mapping[str, Any], file: Path) -> None:
    """Save a panel for each score that was measured: a bar a model."""
    plt = pyplot()
    scores = [name for name in SCORES if any(row[name] is not None for row in result["rows"])]
    with plt.rc_context({"text.color": INK, "ytick.color": INK, "xtick.color": SUBDUED}):
        figure, axes = plt.subplots(
            1, len(scores) or 1, figsize=(11, MARGIN + BAR * len(result["rows"])), squeeze=False,
            sharey=True, layout="constrained", facecolor=PAPER,
        )  # fmt: skip
        for axis, score in zip(axes.flat, scores, strict=False):
            rows = [row for row in result["rows"] if row[score] is not None]
            values = [row[score] for row in rows]
            colours = [OURS if row["kind"] == "sdxs" else OTHERS for row in rows]
            axis.barh([row["title"] for row in rows], values, height=0.66, color=colours)
            _dress(axis, [f"{value:.2f}" for value in values], values)
            axis.set_title(SCORES[score], loc="left", fontsize=11)
        figure.supxlabel(
            f"{result['prompts']} prompts; {result['hardware']}, {result['dtype']}",
            fontsize=9, color=SUBDUED,
        )  # fmt: skip
        figure.savefig(file, dpi=150)
        plt.close(figure)


def _dress(axis: Any, texts: Sequence[str], ends: Sequence[float]) -> None:
    """What stands at the bars' ends, and the look."""
    for row, (text, end) in enumerate(zip(texts, ends, strict=True)):
        axis.annotate(text, (end, row), (6, 0), textcoords="offset points", va="center")
    axis.set_ylim(len(ends) - 0.5, -0.5)  # the first one on top
    axis.set_xlim(0, 1.2 * max(ends) or 1)
    axis.xaxis.set_major_formatter("{x:,.10g}")
    axis.set_facecolor(PAPER)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    axis.set_axisbelow(True)
    axis.grid(axis="x", color=LINES)
