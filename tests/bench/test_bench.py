"""The bench runs, counts, and ends in one JSON line."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from sdxs import SDXS
from sdxs.bench import floor, process
from sdxs.bench.__main__ import ROWS, main
from sdxs.bench.measure import percentile
from sdxs.bench.sides import THEIRS

STYLED, CONTROLLED = {"styled", "restyled"}, {"controlled"}
HERE = ("--device", "cpu", "--dtype", "float32", "--engine", "eager")

pytestmark = pytest.mark.filterwarnings("ignore::sdxs.PromptCutWarning")


def test_it_ends_in_json(tiny_checkpoint: Path, ran: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floor, "SIDE", 64)
    options = ["--checkpoint", tiny_checkpoint, "--rounds", "2", "--warmup", "1", "--batch", "2"]
    status, told, _ = ran(main, *options, *HERE)
    *table, last = told.splitlines()
    result = json.loads(last)
    assert status == 0 and result["rounds"] == 2
    theirs = {name: way for name, way in THEIRS.items() if not way.compiled}
    assert set(result["ms"]) == {"eager", *theirs}
    rows = ROWS.keys() - STYLED - CONTROLLED
    assert set(result["ms"]["eager"]) == {*rows, "noise", "batch_2"}
    for side in result["ms"].values():
        assert all(0 < ms["min"] <= ms["median"] <= ms["p95"] for ms in side.values())
    assert result["cpu"] and result["threads"] == 1 and result["dtype"] == "float32"
    titles = [ROWS[row] for row in rows] + [way.title for way in theirs.values()] + ["2 pictures"]
    assert all(any(line.startswith(f"| {title} |") for line in table) for title in titles)
    assert "times |" in "".join(table)
    found = result["floor"]
    wanted = (found["gflop"]["unet"] + found["gflop"]["decoder"]) / found["tflops"]
    assert found["paint_ms"] == pytest.approx(wanted, rel=0.01, abs=0.001)


def test_a_style_and_a_control_are_measured_beside_the_plain_picture(
    tiny_checkpoint: Path, tiny_style: Path, tiny_control: Path, ran: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    worn, paint = [], SDXS.__call__

    def noted(model: SDXS, prompt: str, **options: Any) -> Any:
        worn.append(tuple(options.get(name) for name in ("style", "style_scale", "control")))
        return paint(model, prompt, **options)

    monkeypatch.setattr(SDXS, "__call__", noted)
    options = ["--checkpoint", tiny_checkpoint, "--rounds", "1", "--warmup", "1", "--no-plain"]
    parts = ["--style", tiny_style, "--control", tiny_control]
    status, told, _ = ran(main, *options, *HERE, *parts)
    result = json.loads(told.splitlines()[-1])
    assert status == 0 and set(result["ms"]) == {"eager"}
    assert result["ms"]["eager"].keys() >= STYLED | CONTROLLED
    assert (result["style"], result["control"]) == (str(tiny_style), str(tiny_control))
    plain, styled = (None,) * 3, ("style", None, None)
    asked = [plain, plain, styled, styled, ("style", 0.5, None), (None, None, "control")]
    assert worn == 2 * asked


def test_a_program_measures_itself(
    tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = time.time()
    process.main(str(tiny_checkpoint), "eager", "cpu", "float32")
    said = json.loads(capsys.readouterr().out)
    assert start < said["painted"] < time.time()
    assert 100 < said["memory"]["own_mb"] < said["memory"]["peak_mb"] < 20_000


@pytest.mark.slow
def test_programs_of_their_own(tiny_checkpoint: Path) -> None:
    found = process.measure(tiny_checkpoint, "eager", "cpu", "float32")
    assert list(found) == list(process.TITLES)
    for program in found.values():
        assert 0.5 < program["seconds"] < 300 and 100 < program["peak_mb"] < 10_000


def test_operations_are_counted(tiny_model: SDXS) -> None:
    """A convolution of the U-Net's first layer by hand, and no stage forgotten."""
    with_all = floor.operations(tiny_model, "a red house nobody asked for")
    assert set(with_all) == {"text", "unet", "decoder"} and min(with_all.values()) > 0
    unet = tiny_model._engine.networks.unet  # type: ignore[attr-defined]
    first = unet.conv_in
    unet.conv_in = torch.nn.Sequential(first, torch.nn.Conv2d(16, 16, 3, padding=1))
    try:
        more = floor.operations(tiny_model, "a red house nobody asked for, again")["unet"]
    finally:
        unet.conv_in = first
    assert more - with_all["unet"] == pytest.approx(2 * 9 * 16 * 16 * 64 / 1e9, abs=0.0011)


def test_mistakes(ran: Any) -> None:
    status, _, said = ran(main, "--checkpoint", "nonsense")
    assert status == 2 and said.startswith("sdxs: no checkpoint is called")
    assert ran(main, "--rounds", "0")[0] == 2 and ran(main, "--engine", "warp")[0] == 2


def test_percentile() -> None:
    assert percentile(range(1, 101), 0.95) == 95
    assert percentile([3.0], 0.95) == 3.0 and percentile([2.0, 1.0], 0.95) == 2.0
