"""What export refuses to replace; that it works is shown by the recipe's test."""

from pathlib import Path

import pytest

from sdxs.train import export
from sdxs.train.run.loop import TrainingError


def test_a_folder_that_is_no_checkpoint_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(TrainingError, match="is there and no checkpoint: choose another --out"):
        export.export(export.Options(out=tmp_path))
    assert (tmp_path / "thesis.txt").exists()
