"""What builds the site, on a model of a few sums: what it may overwrite, and what it refuses."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from tests.lite.made import SIDE, make
from web import build


def test_only_an_earlier_site_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(OSError, match="is no site"):
        build.build(tmp_path, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"
    (tmp_path / "site.json").touch()
    with pytest.raises(OSError, match=r"sdxs\.json"):
        build.build(tmp_path, tmp_path / "nowhere")
    assert not (tmp_path / "thesis.txt").exists()


@pytest.mark.filterwarnings("ignore::sdxs.errors.PromptCutWarning")
def test_the_welcome_picture_is_the_graphs_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = make(tmp_path / "model")
    index = model / "sdxs.json"
    told = json.loads(index.read_text())
    index.write_text(json.dumps({**told, "checkpoint": "./no-more"}))
    assert Image.open(io.BytesIO(build.painted(model))).size == (SIDE, SIDE)
    index.write_text(json.dumps({**told, "runtime": "openvino"}))
    assert build.main(["--model", str(model), "--out", str(tmp_path / "out")]) == 2
    assert "--to onnx" in capsys.readouterr().err and not (tmp_path / "out").exists()
