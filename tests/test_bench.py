"""The bench runs, counts, and ends in one JSON line."""

import json
from pathlib import Path

import pytest

from sdxs.bench import STAGES, main, percentile


@pytest.mark.filterwarnings("ignore::sdxs.PromptCutWarning")
def test_it_ends_in_json(tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--checkpoint", str(tiny_checkpoint), "--rounds", "2", "--warmup", "1"]
    assert main([*options, "--device", "cpu", "--dtype", "float32"]) == 0
    *table, last = capsys.readouterr().out.splitlines()
    result = json.loads(last)
    assert set(result["ms"]) == set(STAGES) and result["rounds"] == 2
    assert all(0 < ms["median"] <= ms["p95"] for ms in result["ms"].values())
    assert result["cpu"] and result["threads"] == 1 and result["dtype"] == "float32"
    assert all(any(name in line for line in table) for name in STAGES.values())
    assert result["speedup"] > 0 < result["speedup_bfloat16"]


def test_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--checkpoint", "nonsense"]) == 2
    assert capsys.readouterr().err.startswith("sdxs: no checkpoint is called")
    with pytest.raises(SystemExit):
        main(["--rounds", "0"])


def test_percentile() -> None:
    assert percentile(range(1, 101), 0.95) == 95
    assert percentile([3.0], 0.95) == 3.0 and percentile([2.0, 1.0], 0.95) == 2.0
