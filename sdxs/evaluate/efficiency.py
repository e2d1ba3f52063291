"""Tables 1 and 2 of the paper: parameters, latency and evaluations of each stage of a picture.

Every stage is a network of its own with random weights, as diffusers and transformers build it, in
channels_last, at batch 1; what several architectures share is timed once. A picture is the sum of
latency x evaluations, as the paper reckons it: without tokenizing, scheduler and files. Knows
nothing of how stages are built.
"""

import gc
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import psutil
import torch
from tqdm import tqdm

from sdxs.bench.measure import Clock, percentile
from sdxs.bench.sides import check_compiler
from sdxs.evaluate import paper, report
from sdxs.evaluate.stages import ARCHITECTURES, STAGES, Architecture, build, counted, inputs
from sdxs.granted import granted_memory
from sdxs.model.hardware import limit_threads

VALUES_A_PIXEL = 1024  # numbers in memory beside the weights, at most: the large decoder's 875
HEADINGS = {1: "512 x 512 pixels (the paper's table 1)", 2: "1024 x 1024 pixels (its table 2)"}


def measure(
    names: Sequence[str],
    device: torch.device,
    dtype: torch.dtype,
    repeats: int = 10,
    warmup: int = 2,
    compiled: bool = False,
) -> dict[str, Any]:
    """Of each architecture by name. compiled: by torch.compile. Raises InputError where that cannot
    be."""
    if compiled:
        check_compiler(device, dtype)
    limit_threads()
    todo: dict[str, tuple[Architecture, str]] = {}
    for name in names:
        for stage in STAGES:
            todo.setdefault(ARCHITECTURES[name].key(stage), (ARCHITECTURES[name], stage))
    timed = {}
    with tqdm(total=len(todo) * (warmup + repeats), desc="evaluations", disable=None) as bar:
        for key, (architecture, stage) in todo.items():
            bar.set_postfix_str(f"{STAGES[stage]} of {architecture.title}")
            timed[key] = _timed(
                architecture, stage, device, dtype, (repeats, warmup), compiled, bar
            )
    rows = [_row(name, timed) for name in names]
    settings = {"repeats": repeats, "warmup": warmup, "batch": 1, "compiled": compiled}
    return {"table": "efficiency", **report.facts(device, dtype), **settings, "rows": rows}


def _row(name: str, timed: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    architecture = ARCHITECTURES[name]
    stages = {
        stage: {**timed[architecture.key(stage)], "evaluations": count}
        for stage, count in architecture.evaluations.items()
    }
    spans = [
        found["evaluations"] * found["ms"]["median"] for found in stages.values() if found["ms"]
    ]
    whole = round(sum(spans), 3) if len(spans) == len(STAGES) else None
    printed = paper.EFFICIENCY.get(name)
    return {
        "name": name, "title": architecture.title, "number": architecture.table,
        "side": architecture.side, "stages": stages, "ms": whole,
        "paper": {stage: asdict(found) for stage, found in printed.items()} if printed else None,
    }  # fmt: skip


def _timed(
    architecture: Architecture,
    stage: str,
    device: torch.device,
    dtype: torch.dtype,
    rounds: tuple[int, int],
    compiled: bool,
    bar: "tqdm[Any]",
) -> dict[str, Any]:
    """Parameters, and milliseconds or the reason why there are none."""
    repeats, warmup = rounds
    found: dict[str, Any] = {"parameters": counted(architecture, stage), "ms": None, "why": ""}
    needed = (found["parameters"] + VALUES_A_PIXEL * architecture.side**2) * dtype.itemsize
    if needed > (free := memory(device)):
        found["why"] = f"takes {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free"
    else:
        try:
            spans = _spans(architecture, stage, device, dtype, repeats + warmup, compiled, bar)
            ms = [1000 * span for span in spans[warmup:]]
            found["ms"] = {
                "median": round(statistics.median(ms), 3),
                "p95": round(percentile(ms, 0.95), 3),
                "min": round(min(ms), 3),
            }
        except torch.OutOfMemoryError:
            found["why"] = "the device ran out of memory"
    if found["why"]:
        bar.write(f"{STAGES[stage]} of {architecture.title}: {found['why']}", file=sys.stderr)
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return found


@torch.no_grad()
def _spans(
    architecture: Architecture,
    stage: str,
    device: torch.device,
    dtype: torch.dtype,
    count: int,
    compiled: bool,
    bar: "tqdm[Any]",
) -> list[float]:
    """Seconds of each evaluation."""
    torch.manual_seed(0)
    with torch.device(device):
        network = build(architecture, stage, dtype).to(memory_format=torch.channels_last)
    if compiled:
        network.compile(mode="max-autotune" if device.type == "cuda" else "default")
    named = inputs(architecture, stage, device, dtype)
    placed = [named.pop("")] if "" in named else []
    spans, clock = [], Clock(device)
    for _ in range(count):
        clock(stage, lambda: network(*placed, **named))
        spans.append(clock.spans[stage])
        bar.update()
    return spans


def memory(device: torch.device) -> int:
    """Bytes that are free there for this process."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min(int(psutil.virtual_memory().available), granted_memory())


def table(result: Mapping[str, Any]) -> str:
    """The same in the paper's layout, in Markdown, the paper's figures in brackets."""
    way = "torch.compile" if result["compiled"] else "eager PyTorch"
    lines = [
        f"{report.told(result)}; {way}, channels_last, batch 1, median of {result['repeats']} "
        f"after {result['warmup']}; random weights. In brackets: the paper's, on its GPU."
    ]
    for number, heading in HEADINGS.items():
        rows = [row for row in result["rows"] if row["number"] == number]
        if rows:
            cells = [line for row in rows for line in _cells(row)]
            lines += ["", heading, "", report.markdown(["", *STAGES.values(), "picture"], cells)]
            lines += _ratios(rows)
    return "\n".join(lines) + "\n"


def _cells(row: Mapping[str, Any]) -> list[list[str]]:
    """Five lines of a table: the name, parameters, latency, evaluations, their product."""
    found = [_numbers(stage["parameters"] / 1e6, stage["ms"] and stage["ms"]["median"],
                      stage["evaluations"]) for stage in row["stages"].values()]  # fmt: skip
    printed: list[Any] = [None] * len(found)
    if row["paper"]:
        printed = [_numbers(**stage) for stage in row["paper"].values()]
    lines = [[f"**{row['title']}**", "", "", "", ""]]
    for i, title in enumerate(("parameters, M", "latency, ms", "evaluations", "total, ms")):
        digits = 0 if title == "evaluations" else 1
        cells = [
            _beside(ours[i], theirs and theirs[i], digits)
            for ours, theirs in zip(found, printed, strict=True)
        ]
        lines.append([title, *cells, ""])
    lines[1][-1] = _beside(sum(numbers[0] or 0 for numbers in found), None, 1)
    lines[4][-1] = _beside(row["ms"], paper_ms(row), 1)
    return lines


def _numbers(parameters: float, ms: float | None, evaluations: int) -> list[float | None]:
    """And the product of the last two."""
    return [parameters, ms, evaluations, None if ms is None else ms * evaluations]


def _beside(ours: float | None, theirs: float | None, digits: int) -> str:
    said = report.number(ours, digits)
    return said if theirs is None else f"{said} ({theirs:,.5g})"


def paper_ms(row: Mapping[str, Any]) -> float | None:
    """The paper's time for a picture, where it has one."""
    if not row["paper"]:
        return None
    spans: list[float] = [stage["ms"] * stage["evaluations"] for stage in row["paper"].values()]
    return round(sum(spans), 1)


def _ratios(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """How many times as long as ours those take that are guided."""
    lines = []
    for slow in rows:
        for fast in rows:
            guided = slow["stages"]["text"]["evaluations"] > fast["stages"]["text"]["evaluations"]
            if guided and slow["ms"] and fast["ms"]:
                long, short = paper_ms(slow), paper_ms(fast)
                said = f" (the paper: {long / short:.0f})" if long and short else ""
                times = slow["ms"] / fast["ms"]
                lines.append(
                    f"{slow['title']} takes {times:.1f} times as long as {fast['title']}{said}"
                )
    return ["", *(f"- {line}." for line in lines)] if lines else []
