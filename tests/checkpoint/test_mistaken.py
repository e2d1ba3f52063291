"""What people paste for a name, and what lies where weights should."""

import os
from pathlib import Path
from typing import Any

import pytest
from tiny import load

from sdxs import CheckpointError
from sdxs.checkpoint import find
from sdxs.checkpoint.mistaken import as_meant
from sdxs.checkpoint.tensors import read_pickle
from sdxs.server.start import names

ID = "IDKiro/sdxs-512-0.9"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
INSTEAD = {
    "pointer": (POINTER, "is only a pointer to the weights, of Git LFS"),
    "page": (b"\n<!doctype html><html>", "is a web page, not weights"),
    "nothing": (b"", "is empty: fetch it again"),
}


@pytest.mark.parametrize(
    ("pasted", "meant"),
    [
        (f" {ID}\n", ID),
        (f"{ID}/", ID),
        (f"https://huggingface.co/{ID}", ID),
        (f"https://hf.co/{ID}/tree/v1.0/", f"{ID}@v1.0"),
        (f'"{ID}"', ID),
        ("'/models/my house'", "/models/my house"),
        ("./models/mine/", "./models/mine/"),
        ("https://example.com/a/b", "https://example.com/a/b"),
        ("storybook", "storybook"),
        ('"', '"'),
    ],
)
def test_names_as_they_are_pasted(pasted: str, meant: str) -> None:
    assert as_meant(pasted) == meant


def test_a_pasted_checkpoint_and_style(
    tiny_checkpoint: Path, tiny_style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(find, "repository", lambda *given, **_: asked.append(given) or Path())
    assert find.find("styles", f"https://huggingface.co/{ID}/tree/main", "x") == Path()
    assert asked[0][1:3] == (ID, "main")
    assert find.resolve(f' "{tiny_checkpoint}/" ').folder == tiny_checkpoint.resolve()
    assert find.find("styles", f'"{tiny_style}"', "x") == tiny_style


@pytest.mark.parametrize("name", INSTEAD)
def test_what_lies_where_weights_should(name: str, tiny_checkpoint: Path, tmp_path: Path) -> None:
    content, problem = INSTEAD[name]
    file = tmp_path / "ink.safetensors"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"ink.safetensors {problem}"):
        load(tiny_checkpoint, styles=str(file))
    with pytest.raises(CheckpointError, match=problem):
        read_pickle(file)


def test_a_name_that_is_no_utf8(tiny_checkpoint: Path, tiny_style: Path, tmp_path: Path) -> None:
    style = tmp_path / "caf\udce9"
    try:
        os.symlink(tiny_style, style)
    except (OSError, UnicodeError):
        pytest.skip("this system has no such names")
    with pytest.raises(CheckpointError, match="no UTF-8, which weights cannot be read by: rename"):
        load(tiny_checkpoint, styles=str(style))


def test_files_whose_names_hold_commas_and_equals_signs(tmp_path: Path) -> None:
    file = tmp_path / "lr=1e-4, b" / "ink.safetensors"
    plain = tmp_path / "lr=1e-4.safetensors"
    file.parent.mkdir()
    for each in (file, plain):
        each.touch()
    assert names(str(file)) == {str(file): str(file)}
    assert names(f"ink={plain}, {plain}") == {"ink": str(plain), str(plain): str(plain)}
