"""The shipped model's own lineage, end to end at toy size."""

from pathlib import Path

import pytest

from sdxs import SDXS
from tests.train.test_recipe import follow, wears_and_sees


@pytest.mark.long
def test_the_lineage_of_the_embedded_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    follow(tmp_path, "--past-gates", name="embedded")
    assert "caption accuracy (what ships: 0.949) is" in capsys.readouterr().out
    monkeypatch.setenv("SDXS_WEIGHTS", str(tmp_path / "weights"))
    assert SDXS.load(str(tmp_path / "run/before")).size == (64, 64)
    wears_and_sees(str(tmp_path / "weights/toy"), tmp_path / "run")
