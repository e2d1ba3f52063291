"""The bench runs, counts, and ends in one JSON line."""

import json
from pathlib import Path
from typing import Any

import pytest

from sdxs import SDXS
from sdxs.bench.__main__ import STAGES, main
from sdxs.bench.measure import percentile

STYLED = {"styled", "restyled"}


@pytest.mark.filterwarnings("ignore::sdxs.PromptCutWarning")
def test_it_ends_in_json(tiny_checkpoint: Path, ran: Any) -> None:
    options = ["--checkpoint", tiny_checkpoint, "--rounds", "2", "--warmup", "1"]
    status, told, _ = ran(main, *options, "--device", "cpu", "--dtype", "float32")
    *table, last = told.splitlines()
    result = json.loads(last)
    assert status == 0
    stages = STAGES.keys() - STYLED
    assert set(result["ms"]) == stages and result["rounds"] == 2
    assert all(0 < ms["median"] <= ms["p95"] for ms in result["ms"].values())
    assert result["cpu"] and result["threads"] == 1 and result["dtype"] == "float32"
    assert all(any(name in line for line in table) for name in map(STAGES.get, stages))
    assert result["speedup"] > 0 < result["speedup_bfloat16"]


@pytest.mark.filterwarnings("ignore::sdxs.PromptCutWarning")
def test_a_style_is_measured_beside_the_plain_picture(
    tiny_checkpoint: Path, tiny_style: Path, ran: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    worn, paint = [], SDXS.__call__

    def noted(model: SDXS, prompt: str, **options: Any) -> Any:
        worn.append((options.get("style"), options.get("style_scale", 1.0)))
        return paint(model, prompt, **options)

    monkeypatch.setattr(SDXS, "__call__", noted)
    options = ["--checkpoint", tiny_checkpoint, "--rounds", "1", "--warmup", "1", "--no-plain"]
    status, told, _ = ran(main, *options, "--device", "cpu", "--style", tiny_style)
    result = json.loads(told.splitlines()[-1])
    assert status == 0 and result["ms"].keys() >= STYLED and result["style"] == str(tiny_style)
    assert worn == 2 * [(None, 1.0), ("style", 1.0), ("style", 1.0), ("style", 0.5)]


def test_mistakes(ran: Any) -> None:
    status, _, said = ran(main, "--checkpoint", "nonsense")
    assert status == 2 and said.startswith("sdxs: no checkpoint is called")
    assert ran(main, "--rounds", "0")[0] == 2


def test_percentile() -> None:
    assert percentile(range(1, 101), 0.95) == 95
    assert percentile([3.0], 0.95) == 3.0 and percentile([2.0, 1.0], 0.95) == 2.0
