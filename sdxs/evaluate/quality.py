"""Table 3 of the paper: FID and CLIP score of models, ours and rivals, from the same prompts.

Picture i is painted from prompt i and seed + i, into a folder a model. Knows nothing of how models
paint, nor of how scores are computed.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sdxs.evaluate import paper, report
from sdxs.evaluate.metrics import FID, CLIPScore, opened
from sdxs.evaluate.painters import Model, open_painter
from sdxs.evaluate.pictures import Task, paint


@dataclass(frozen=True)
class Judges:
    """None for a score that is not asked for. told: what result and table say of them."""

    fid: FID | None
    clip: CLIPScore | None
    told: Mapping[str, Any]


def folder_of(out: Path, asked: Model) -> Path:
    """Where a model's pictures go."""
    return out / re.sub(r"[^\w.@-]+", "-", f"{asked.name}={asked.kind}").strip("-")


def measure(
    models: Sequence[Model],
    prompts: Sequence[str],
    out: Path,
    judges: Judges,
    device: torch.device,
    dtype: torch.dtype,
    seed: int = 0,
    batch: int = 1,
) -> dict[str, Any]:
    """Paint what is missing and score all. Raises SDXSError."""
    facts = report.facts(device, dtype)
    tasks = [Task(Path(f"{i:05}.png"), prompt, seed + i) for i, prompt in enumerate(prompts)]
    rows = []
    for asked in models:
        folder = folder_of(out, asked)
        made = paint(
            folder, tasks, {**asked.settings(), "seed": seed, "dtype": facts["dtype"]},
            lambda asked=asked: open_painter(asked, device, dtype),  # type: ignore[misc]
            batch, asked.title,
        )  # fmt: skip
        files = [folder / task.file for task in tasks]
        rows.append({
            "title": asked.title, **made, "size": list(opened(files[0]).size),
            "fid": judges.fid(files) if judges.fid else None,
            "clip": judges.clip(files, prompts) if judges.clip else None,
        })  # fmt: skip
    settings = {"prompts": len(prompts), "seed": seed, "batch": batch, **judges.told}
    return {"table": "quality", **facts, **settings, "rows": rows}


HEAD = ("method", "resolution", "U-Net, M", "sampler", "NFEs", "latency, ms", "FID", "CLIP score")


def table(result: Mapping[str, Any]) -> str:
    """The same in the paper's layout, in Markdown, and the paper's own rows below."""
    real = f"{result['real']} real pictures" if result["real"] else "no real pictures"
    lines = [
        f"{report.told(result)}; {result['prompts']} prompts, seeds from {result['seed']}, {real}, "
        f"CLIP: {result['clip_model'] or 'none'}. Latency: a picture's time in batches of "
        f"{result['batch']}, from prompt to picture.",
        "",
        report.markdown(HEAD, [_cells(row) for row in result["rows"]]),
        "",
        "The paper's table 3, on the 5K subset of MS-COCO 2017:",
        "",
        report.markdown(HEAD, [_printed(row) for row in paper.QUALITY]),
    ]
    return "\n".join(lines) + "\n"


def _cells(row: Mapping[str, Any]) -> list[str]:
    width, height = row["size"]
    guided = f", guidance {row['guidance']:g}" if row["guidance"] else ""
    sampler = (
        f"{row['scheduler']}, {row['steps']} step{'s' * (row['steps'] > 1)}{guided}"
        if row["scheduler"]
        else "–"
    )
    size = "–" if row["parameters"] is None else f"{row['parameters'] / 1e6:.0f}"
    return [
        row["title"], f"{width} x {height}", size, sampler, str(row["evaluations"]),
        report.number(row["seconds"] and 1000 * row["seconds"], 0),
        report.number(row["fid"], 2), report.number(row["clip"], 2),
    ]  # fmt: skip


def _printed(row: paper.Method) -> list[str]:
    return [
        row.title, f"{row.side} x {row.side}", f"{row.parameters:.0f}", row.sampler,
        str(row.evaluations), f"{row.ms:.0f}", f"{row.fid:.2f}", f"{row.clip:.2f}",
    ]  # fmt: skip
