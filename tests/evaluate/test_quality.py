"""Table 3 by command, from prompts to scores, and pictures for judges elsewhere."""

import functools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from sdxs.evaluate import __main__ as command
from sdxs.evaluate.__main__ import main
from sdxs.evaluate.metrics import FID, CLIPScore, pictures_in
from sdxs.evaluate.painters import Model
from sdxs.evaluate.quality import folder_of

PROMPTS = ["a red house", "a blue ball", "a green tree at night"]
HERE = ("--device", "cpu", "--dtype", "float32")


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    file = tmp_path / "prompts.txt"
    file.write_text("\n".join(PROMPTS))
    return file


def test_the_table(
    tiny_checkpoint: Path, tiny_model: Any, tiny_clip: Path, real: Path, prompts: Path,
    features: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ran: Callable[..., Any],
) -> None:  # fmt: skip
    """Ours and, as a rival, the same checkpoint with diffusers' one step."""
    monkeypatch.setattr(command, "FID", functools.partial(FID, features=features))
    models = [f"{tiny_checkpoint}={kind}" for kind in ("sdxs", "turbo")]
    out, file = tmp_path / "out", tmp_path / "it.json"
    asked = [
        "quality", *HERE, "--prompts", prompts, "--real", real, "--clip", tiny_clip, "--out", out,
        "--seed", "7", "--batch", "3", "--model", models[0], "--model", models[1],
        "--json", file,
    ]  # fmt: skip
    status, told, said = ran(main, *asked, "--figure", tmp_path / "it.png")
    assert status == 0, said
    result = json.loads(file.read_text())
    ours, rival = result["rows"]
    files = pictures_in(folder_of(out, Model(str(tiny_checkpoint), "sdxs")))
    painted = [Image.open(each).convert("RGB") for each in files]
    assert painted == tiny_model(PROMPTS, seed=[7, 8, 9])
    cpu = torch.device("cpu")
    wanted = CLIPScore(str(tiny_clip), cpu)(files, PROMPTS)
    assert ours["clip"] == pytest.approx(wanted)
    wanted = FID(pictures_in(real), cpu, features=features)(files)
    assert ours["fid"] == pytest.approx(wanted) and wanted > 0
    assert rival["fid"] == pytest.approx(wanted, rel=0.1)  # the same but for the unknown rounding
    assert result["prompts"] == 3 and result["real"] == 12 and result["seed"] == 7
    assert [row["evaluations"] for row in result["rows"]] == [1, 1]
    assert f"{ours['fid']:.2f} | {ours['clip']:.2f} |" in told
    assert "| SDXS-512 | 512 x 512 | 319 | – | 1 | 9 | 28.21 | 32.81 |" in told
    assert Image.open(tmp_path / "it.png").width > 1000

    monkeypatch.setattr("sdxs.evaluate.quality.open_painter", lambda *_: pytest.fail("painted"))
    status, again, _ = ran(main, *asked)
    assert status == 0 and again == told
    status, _, said = ran(main, *asked, "--seed", "8")
    assert status == 2 and "seed 7, not 8" in said


def test_what_is_not_asked_for_is_not_measured(
    tiny_checkpoint: Path, prompts: Path, tmp_path: Path, ran: Callable[..., Any]
) -> None:
    asked = ("--prompts", prompts, "--count", "2", "--clip", "none", "--out", tmp_path / "out")
    figure = ("--figure", tmp_path / "it.png")
    status, told, _ = ran(main, "quality", *HERE, *asked, "--model", tiny_checkpoint, *figure)
    assert status == 0 and "| not measured | not measured |" in told and "2 prompts" in told
    assert len(list((tmp_path / "out").rglob("0*.png"))) == 2


def test_what_is_missing_shows_before_anything_is_painted(
    real: Path, prompts: Path, tmp_path: Path, ran: Callable[..., Any]
) -> None:
    asked = ("quality", *HERE, "--prompts", prompts, "--out", tmp_path / "out", "--model", "x")
    status, told, said = ran(main, *asked, "--clip", tmp_path / "nowhere")
    assert status == 2 and not told and len(said.splitlines()) == 1 and "--clip none" in said
    said = ran(main, *asked, "--clip", "none", "--real", real, "--count", "1")[2]
    assert "give more prompts" in said
    assert "no checkpoint is called 'x'" in ran(main, *asked, "--clip", "none")[2]
    assert "there is no kind 'y'" in ran(main, *asked, "--model", "x=y")[2]
    assert not (tmp_path / "out").exists()


def test_pictures_for_a_judge(
    tiny_checkpoint: Path, tiny_model: Any, tmp_path: Path, ran: Callable[..., Any]
) -> None:
    row = {"tag": "colors", "include": [], "prompt": "a red house"}
    (tmp_path / "evaluation_metadata.jsonl").write_text(json.dumps(row) + "\n")
    out = tmp_path / "out"
    asked = ("--model", tiny_checkpoint, "--out", out, "--seed", "5", *HERE)
    file = tmp_path / "it.json"
    status, told, said = ran(
        main, "geneval", tmp_path / "evaluation_metadata.jsonl", *asked, "--json", file
    )
    assert status == 0 and f"4 pictures in {out}" in told, said
    for i in range(4):
        painted = Image.open(out / f"00000/samples/{i:05}.png").convert("RGB")
        assert painted == tiny_model("a red house", seed=5 + i)
    assert json.loads((out / "00000/metadata.jsonl").read_text()) == row
    assert json.loads(file.read_text())["samples"] == 4


def test_other_weights_paint_other_pictures(
    tiny_checkpoint: Path, prompts: Path, tmp_path: Path, ran: Callable[..., Any]
) -> None:
    checkpoint = shutil.copytree(tiny_checkpoint, tmp_path / "mine")
    asked = ("--prompts", prompts, "--clip", "none", "--out", tmp_path / "out")
    assert ran(main, "quality", *HERE, *asked, "--model", checkpoint)[0] == 0
    os.utime(checkpoint / "unet/diffusion_pytorch_model.safetensors", (1, 1))  # trained on
    status, _, said = ran(main, "quality", *HERE, *asked, "--model", checkpoint)
    assert status == 2 and "pictures of other settings: files" in said
