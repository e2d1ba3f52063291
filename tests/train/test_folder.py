"""Pictures and captions from a folder, as people keep them."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from sdxs import InputError
from sdxs.picture import read_picture
from sdxs.storybook import draw
from sdxs.storybook.world.captions import frozen_captions
from sdxs.train.parts import folder as folders
from sdxs.train.parts.folder import read_folder
from sdxs.train.run.loop import TrainingError

NO_TEXT = b'{"file_name": "a.png", "text": null}'


def test_captions_lie_in_one_file_or_beside_the_pictures(tmp_path):
    wide = Image.new("RGB", (64, 32), "red")
    wide.paste("blue", (8, 0, 56, 32))
    wide.save(tmp_path / "a.png")
    Image.new("L", (10, 10), 77).save(tmp_path / "b.JPG")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "one"}\n\n')
    (tmp_path / "b.txt").write_text("two\n")
    pictures, captions = read_folder(tmp_path, 16)
    assert pictures.shape == (2, 3, 16, 16) and pictures.dtype == torch.uint8
    assert captions == ["one", "two"]
    assert folders.fingerprint(pictures, captions) != folders.fingerprint(pictures, captions[::-1])
    (tmp_path / "b.txt").write_bytes("\ufeffzwölf".encode())
    assert read_folder(tmp_path, 16)[1] == ["one", "zwölf"]
    (tmp_path / "b.txt").write_bytes("zwölf".encode("latin-1"))
    with pytest.raises(TrainingError, match=r"b\.txt is no UTF-8 text"):
        read_folder(tmp_path, 16)
    assert pictures[0].float().mean((1, 2)).tolist() == [0, 0, 255]  # its middle


def test_crops_of_a_picture_stay_within_its_middle(tmp_path):
    """Drawn on a ramp, the colours of a view say where it lies."""
    ramp = np.tile(np.arange(240, dtype=np.uint8), (120, 1))
    Image.fromarray(ramp).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("a ramp")
    views, captions = read_folder(tmp_path, 60, views=40)
    assert captions == ["a ramp"] * 40
    lows, highs = views[:, 0, 30, 0].float(), views[:, 0, 30, -1].float()
    torch.testing.assert_close(views[:1], read_folder(tmp_path, 60)[0])
    assert lows[0] <= 61 and highs[0] >= 178
    assert lows.min() >= 60 and highs.max() <= 180
    kept = (highs - lows + 2) / 120
    assert kept[1:].min() > folders.KEPT - 0.02 and len(set(kept.tolist())) > 5
    torch.testing.assert_close(read_folder(tmp_path, 60, views=40)[0], views)


@pytest.mark.parametrize(
    ("files", "error", "why"),
    [
        ({}, TrainingError, "holds no picture"),
        ({"10_ink/a.png": b""}, TrainingError, "holds no picture itself: name .*10_ink"),
        ({"a.png": b""}, TrainingError, "a.png has no caption: write a.txt"),
        ({"a.png": b"no", "a.txt": b"x"}, InputError, "a.png is not a PNG"),
        ({"a.png": b"", "metadata.jsonl": b"{}"}, TrainingError, "line 1: it must be"),
        ({"a.png": b"", "metadata.jsonl": b"\n[]"}, TrainingError, "line 2: it must be"),
        ({"a.png": b"", "metadata.jsonl": NO_TEXT}, TrainingError, "line 1: it must be"),
        ({"a.png": b"", "a.txt": b" \n"}, TrainingError, "the caption of a.png is empty"),
    ],
)
def test_what_is_wrong_with_a_folder_is_named(tmp_path, files, error, why):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=why):
        read_folder(tmp_path, 16)
    with pytest.raises(TrainingError, match="there is no folder"):
        read_folder(tmp_path / "none", 16)


def test_an_artist_draws_a_folder(tmp_path, ran):
    assert ran(draw.main, tmp_path / "new", "--artist", "anime", "--count", "5")[0] == 0
    rows = [json.loads(row) for row in (tmp_path / "new/metadata.jsonl").read_text().splitlines()]
    assert [row["file_name"] for row in rows] == [f"{number:05d}.png" for number in range(5)]
    assert not {row["text"] for row in rows} & {caption.text for caption in frozen_captions()}
    assert ran(draw.main, tmp_path / "plain", "--count", "5")[0] == 0
    ours, plain = (
        np.asarray(read_picture(tmp_path / folder / "00000.png"), dtype=float)
        for folder in ("new", "plain")
    )
    assert ours.shape == (128, 128, 3) and np.abs(ours - plain).mean() > 10
    status, _, said = ran(draw.main, tmp_path / "new")
    assert status == 2 and "is there already" in said
