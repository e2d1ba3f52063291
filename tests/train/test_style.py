"""Styles in training: low-rank additions into a U-Net and out to files, pictures from a folder."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny
from PIL import Image
from safetensors import safe_open

from sdxs import CheckpointError, InputError
from sdxs.checkpoint.lora_file import read_style
from sdxs.model.styles import attach, wearing
from sdxs.picture import read_picture
from sdxs.storybook import draw
from sdxs.storybook.world.captions import frozen_captions
from sdxs.storybook.world.tokenizer import build_tokenizer
from sdxs.train import pairs, style, style_distill
from sdxs.train.parts import folder as folders
from sdxs.train.parts import segmented
from sdxs.train.parts.folder import read_folder
from sdxs.train.parts.lora import (
    FILE,
    begin_with,
    fingerprint,
    lora,
    merge_style,
    merged,
    save_style,
)
from sdxs.train.parts.models import PRESETS, build_scheduler, build_text_encoder, build_unet
from sdxs.train.parts.segmented import KAPPA
from sdxs.train.parts.solver import Model
from sdxs.train.run import loop, stage
from sdxs.train.run.loop import TrainingError
from sdxs.train.run.machine import predict
from sdxs.train.style import TARGETS, learnt_below


def toy(seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return build_unet(PRESETS["toy"], 64).eval()


def seen(unet: torch.nn.Module) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    x, words = (torch.randn(2, *shape, generator=generator) for shape in ((4, 8, 8), (5, 32)))
    with torch.no_grad():
        return unet(x, torch.tensor([999, 999]), words).sample


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.Tensor, torch.Tensor]:
    """A style in a file, what the U-Net gives with it, and without."""
    folder, unet = tmp_path_factory.mktemp("style") / "style", toy()
    plain = seen(unet)
    weights = lora(unet, 3, TARGETS)
    with torch.no_grad():
        for weight in weights:
            weight.copy_((0.1 * torch.randn(weight.shape)).half())
    save_style(unet, folder)
    return folder, seen(unet), plain


def test_a_saved_style_is_worn_as_it_was_trained(saved):
    folder, trained, plain = saved
    unet = toy()
    attach(unet, {"it": read_style(folder, {"unet": unet})["unet"]})
    assert torch.equal(seen(unet), plain)
    with wearing({"it": torch.ones(2)}):
        torch.testing.assert_close(seen(unet), trained, rtol=1e-4, atol=1e-5)
    assert (trained - plain).abs().max() > 1e-2


def test_diffusers_reads_the_file(saved):
    folder, trained, _ = saved
    unet = toy()
    unet.load_lora_adapter(folder, weight_name=FILE, prefix="unet")
    torch.testing.assert_close(seen(unet), trained, rtol=1e-4, atol=1e-5)


def test_a_style_goes_into_the_weights(saved):
    folder, trained, _ = saved
    unet = toy()
    merge_style(unet, folder)
    torch.testing.assert_close(seen(unet), trained, rtol=1e-4, atol=1e-5)


def test_training_goes_on_from_a_style(saved, tmp_path):
    folder, trained, _ = saved
    unet = toy()
    lora(unet, 3, TARGETS)
    begin_with(unet, folder)
    torch.testing.assert_close(seen(unet), trained, rtol=1e-4, atol=1e-5)
    save_style(unet, tmp_path)
    assert fingerprint(tmp_path) == fingerprint(folder)
    with safe_open(tmp_path / FILE, framework="pt") as file:
        noted = json.loads(file.metadata()["lora_adapter_metadata"])
    assert (noted["unet.r"], noted["unet.lora_alpha"]) == (3, 3)
    torch.testing.assert_close(seen(merged(unet)), trained, rtol=1e-4, atol=1e-4)


def test_a_style_of_another_kind_is_no_beginning(saved, tmp_path):
    unet = toy()
    lora(unet, 2, TARGETS)
    with pytest.raises(TrainingError, match="another rank: give --rank 3"):
        begin_with(unet, saved[0])
    fewer = toy()
    lora(fewer, 2, r".*to_q")
    save_style(fewer, tmp_path)
    with pytest.raises(TrainingError, match="for other layers"):
        begin_with(unet, tmp_path)
    with pytest.raises(CheckpointError, match="made for another one"):
        begin_with(fewer, saved[0])


@pytest.fixture(scope="module")
def multi_step(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy multi-step model, which is the one-step model, too."""
    folder, tokenizer = tmp_path_factory.mktemp("teacher"), build_tokenizer()
    torch.manual_seed(0)
    parts = {
        "unet": toy(), "text_encoder": build_text_encoder(PRESETS["toy"], tokenizer),
        "tokenizer": tokenizer, "scheduler": build_scheduler(),
    }  # fmt: skip
    for name, part in parts.items():
        part.save_pretrained(folder / name)
    stage.finish(folder, "teacher", 0)
    return folder


@pytest.mark.parametrize("uncarried", [False, True])
def test_a_style_is_distilled_as_the_paper_says(
    saved, multi_step, tmp_path, monkeypatch, uncarried
):
    """The offline model wears the style, the online one does not; the student begins with it."""
    worn = tmp_path / "worn"
    shutil.copytree(saved[0], worn / "style")
    stage.finish(worn, "style", 0, below=0.7, teacher=loop.fingerprint(toy()))
    pairs.make(tmp_path / "pairs", teacher=multi_step, style=None if uncarried else worn,
               count=64, steps=2, guidance=1.0, seed=3)  # fmt: skip
    plain, dressed = toy(), toy()
    merge_style(dressed, worn / "style")
    found: dict[str, Any] = {"kappa": []}

    class Watched(segmented.Scores):
        def __init__(self, offline: Any, online: Any, guidance: float) -> None:
            super().__init__(offline, online, guidance)
            found.update(offline=loop.fingerprint(offline.unet), online=loop.fingerprint(online))

        def follow_fresh(self, unet: Any, *rest: Any) -> float:
            found.setdefault("student", seen(unet))
            return super().follow_fresh(unet, *rest)

        def pull(self, x0: Any, context: Any, alpha: float, generator: Any) -> Any:
            found["alpha"] = alpha
            return super().pull(x0, context, alpha, generator)

    def descend(ours: Any, scores: Any, matching: Any, kappa: float, balance: Any) -> None:
        found["kappa"].append(kappa)

    monkeypatch.setattr(style_distill, "Scores", Watched)
    monkeypatch.setattr(segmented, "descend", descend)
    style_distill.train(
        tmp_path / "run", teacher=multi_step, style=worn, student=multi_step,
        pairs=tmp_path / "pairs", uncarried=uncarried, steps=2, online_steps=1, online_first=1,
        batch=2, rank=3, lr=1e-3, online_lr=1e-3, seed=1,
    )  # fmt: skip
    assert found["offline"] == loop.fingerprint(dressed)
    assert found["online"] == loop.fingerprint(plain) != found["offline"]
    torch.testing.assert_close(found["student"], saved[1], rtol=1e-4, atol=1e-5)
    assert found["alpha"] == 0.7  # above, the style knows nothing
    assert found["kappa"] == [KAPPA[0] * (style_distill.UNCARRIED if uncarried else 1)]


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


def test_a_style_is_of_its_own_multi_step_model(saved, multi_step, tmp_path):
    model, worn = Model.load(multi_step), tmp_path / "worn"
    shutil.copytree(saved[0], worn / "style")
    stage.finish(worn, "style", 0, teacher=loop.fingerprint(toy()))
    assert learnt_below(worn, model) == 1.0  # one that was made before styles began anywhere
    asked = {"style": worn, "teacher": multi_step, "count": 64, "guidance": 1.0, "seed": 3}
    stage.finish(worn, "style", 0, teacher=loop.fingerprint(toy()), below=0.5)
    with pytest.raises(TrainingError, match="none of 1 steps lies where the style was learnt"):
        pairs.make(tmp_path / "few", steps=1, **asked)
    stage.finish(worn, "style", 0, teacher=loop.fingerprint(toy(1)), below=0.5)
    with pytest.raises(TrainingError, match="made for another multi-step model"):
        pairs.make(tmp_path / "other", steps=2, **asked)
    file = worn / "style" / FILE
    file.write_bytes(file.read_bytes()[:999])
    with pytest.raises(CheckpointError, match="is damaged"):
        fingerprint(worn / "style")


def test_a_style_is_learnt_below_its_timestep(multi_step, tmp_path, monkeypatch, capsys):
    vae = AutoencoderTiny(latent_channels=4, encoder_block_out_channels=(8,) * 4,
                          decoder_block_out_channels=(8,) * 4)  # fmt: skip
    vae.save_pretrained(tmp_path / "vae")
    drawn = tmp_path / "drawn"
    draw.draw(drawn, "anime", 2, 1, 64)
    (drawn / "._00000.png").write_bytes(b"what a Mac leaves")
    (drawn / "00002.txt").write_text("a red house " * 20)
    shutil.copy(drawn / "00000.png", drawn / "00002.png")
    seen: list[int] = []

    def watched(unet: Any, x: Any, t: Any, context: Any) -> Any:
        seen.extend(t.tolist())
        return predict(unet, x, t, context)

    monkeypatch.setattr(style, "predict", watched)
    style.train(tmp_path / "run", teacher=multi_step, autoencoder=tmp_path, pictures=drawn, rank=2,
                below=0.03, steps=3, batch=40, lr=1e-3, seed=1)  # fmt: skip
    assert min(seen) == 0 and max(seen) == 29 and stage.read(tmp_path / "run")["pictures"] == 3
    assert "1 captions have more than" in capsys.readouterr().out


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
        ({"a.png": b""}, TrainingError, "a.png has no caption: write a.txt"),
        ({"a.png": b"no", "a.txt": b"x"}, InputError, "a.png is not a PNG"),
        ({"a.png": b"", "metadata.jsonl": b"{}"}, TrainingError, "line 1: it must be"),
        ({"a.png": b"", "metadata.jsonl": b"\n[]"}, TrainingError, "line 2: it must be"),
        (
            {"a.png": b"", "metadata.jsonl": b'{"file_name": "a.png", "text": null}'},
            TrainingError,
            "line 1: it must be",
        ),
        ({"a.png": b"", "a.txt": b" \n"}, TrainingError, "the caption of a.png is empty"),
    ],
)
def test_what_is_wrong_with_a_folder_is_named(tmp_path, files, error, why):
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=why):
        read_folder(tmp_path, 16)
    with pytest.raises(TrainingError, match="there is no folder"):
        read_folder(tmp_path / "none", 16)


def test_an_artist_draws_a_folder(tmp_path, capsys):
    assert draw.main([str(tmp_path / "new"), "--artist", "anime", "--count", "5"]) == 0
    rows = [json.loads(row) for row in (tmp_path / "new/metadata.jsonl").read_text().splitlines()]
    assert [row["file_name"] for row in rows] == [f"{number:05d}.png" for number in range(5)]
    assert not {row["text"] for row in rows} & {caption.text for caption in frozen_captions()}
    assert draw.main([str(tmp_path / "plain"), "--count", "5"]) == 0
    ours, plain = (
        np.asarray(read_picture(tmp_path / folder / "00000.png"), dtype=float)
        for folder in ("new", "plain")
    )
    assert ours.shape == (128, 128, 3) and np.abs(ours - plain).mean() > 10
    assert draw.main([str(tmp_path / "new")]) == 2
    assert "is there already" in capsys.readouterr().err
