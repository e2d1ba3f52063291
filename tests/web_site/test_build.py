"""What the build of the static site leaves alone, and what it says of a model."""

import json
from pathlib import Path

import pytest

from sdxs.errors import InputError
from sdxs.metadata import reading
from tests.lite.made import make
from web import build


def test_what_is_no_site_stays(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "sw.js").write_text("const FILES = {};")
    with pytest.raises(InputError, match="is there and is another one's"):
        build.build(tmp_path, tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_what_cannot_be_built_leaves_the_earlier_site(tmp_path: Path) -> None:
    out = tmp_path / "dist"
    out.mkdir()
    (out / "index.html").write_text("before")
    build.list_files(out)
    with pytest.raises(OSError, match=r"sdxs\.json"):
        build.build(out, tmp_path / "nowhere")
    assert (out / "index.html").read_text() == "before"


def test_the_welcome_picture_is_the_folders_own(tmp_path: Path) -> None:
    found = reading.read(build.painted(make(tmp_path / "model")), "it")
    assert found and found.parameters.settings["Model"] == "made"


def test_a_folder_for_another_runtime_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = make(tmp_path / "model") / "sdxs.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "runtime": "openvino"}))
    out = tmp_path / "out"
    assert build.main(["--model", str(index.parent), "--out", str(out)]) == 2
    assert "--to onnx" in capsys.readouterr().err and not out.exists()
