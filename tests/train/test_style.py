"""Styles in training: low-rank additions into a U-Net and out to files, pictures from a folder."""

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderTiny
from safetensors import safe_open

from sdxs import CheckpointError
from sdxs.checkpoint.lora_file import read_style
from sdxs.model.styles import Styled
from sdxs.storybook import draw
from sdxs.storybook.world.tokenizer import build_tokenizer
from sdxs.train import pairs, style, style_distill
from sdxs.train.parts import denoising, distillation, segmented
from sdxs.train.parts.lora import (
    FILE,
    begin_with,
    fingerprint,
    learnt_below,
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
    weights = lora(unet, 3)
    with torch.no_grad():
        for weight in weights:
            weight.copy_((0.1 * torch.randn(weight.shape)).half())
    save_style(unet, folder)
    return folder, seen(unet), plain


def test_a_saved_style_acts_as_it_was_trained(saved):
    folder, trained, plain = saved
    unet = toy()
    styled = Styled(unet, {"it": read_style(folder, {"unet": unet})["unet"]})
    assert torch.equal(seen(partial(styled, {})), plain)
    ours = seen(partial(styled, {"it": torch.ones(2)}))
    torch.testing.assert_close(ours, trained, rtol=1e-4, atol=1e-5)
    assert (trained - plain).abs().max() > 1e-2


def with_diffusers(unet, folder):
    unet.load_lora_adapter(folder, weight_name=FILE, prefix="unet")


@pytest.mark.parametrize("wear", [with_diffusers, merge_style])
def test_diffusers_and_the_weights_take_the_file(wear, saved):
    folder, trained, _ = saved
    unet = toy()
    wear(unet, folder)
    torch.testing.assert_close(seen(unet), trained, rtol=1e-4, atol=1e-5)


def test_training_goes_on_from_a_style(saved, tmp_path):
    folder, trained, _ = saved
    unet = toy()
    lora(unet, 3)
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
    lora(unet, 2)
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
    pairs.train(pairs.Options(
        run=tmp_path / "pairs", teacher=multi_step, style=None if uncarried else worn, count=64,
        steps=2, guidance=1.0,
    ))  # fmt: skip
    plain, dressed = toy(), toy()
    merge_style(dressed, worn / "style")
    found: dict[str, Any] = {}

    class Watched(segmented.Scores):
        def pull(self, x0: Any, context: Any, alpha: float, *rest: Any) -> Any:
            found.update(alpha=alpha, pull=super().pull(x0, context, alpha, *rest))
            return found["pull"]

    class Watching(distillation.Distillation):
        def follow(self, index: int, generator: Any) -> float:
            models = {"offline": self.scores.offline.unet, "online": self.scores.online}
            for name, unet in models.items():
                found.setdefault(name, loop.fingerprint(unet))
            found.setdefault("student", seen(self.learner.parts["unet"]))
            return super().follow(index, generator)

        def balanced(self, index: int, x0: Any, *rest: Any) -> Any:
            whole = super().balanced(index, x0, *rest)
            scores = found["pull"] / x0.numel()
            found["kappa"] = ((whole - scores).norm() / scores.norm()).item()
            return whole

    monkeypatch.setattr(style_distill, "Scores", Watched)
    monkeypatch.setattr(style_distill, "Distillation", Watching)
    style_distill.train(style_distill.Options(
        run=tmp_path / "run", teacher=multi_step, style=worn, student=multi_step,
        pairs=tmp_path / "pairs", uncarried=uncarried, steps=2, online_steps=1, online_first=1,
        batch=2, rank=3, online_lr=1e-3,
    ))  # fmt: skip
    assert found["offline"] == loop.fingerprint(dressed)
    assert found["online"] == loop.fingerprint(plain) != found["offline"]
    torch.testing.assert_close(found["student"], saved[1], rtol=1e-4, atol=1e-5)
    assert found["alpha"] == 0.7  # above, the style knows nothing
    wanted = KAPPA[0] * (style_distill.UNCARRIED if uncarried else 1)
    assert found["kappa"] == pytest.approx(wanted, rel=1e-3)


def test_a_style_is_of_its_own_multi_step_model(saved, multi_step, tmp_path):
    model, worn = Model.load(multi_step), tmp_path / "worn"
    shutil.copytree(saved[0], worn / "style")
    stage.finish(worn, "style", 0, teacher=loop.fingerprint(toy()))
    assert learnt_below(worn, model.unet) == 1.0  # one that was made before styles began anywhere
    asked = {"style": worn, "teacher": multi_step, "count": 64, "guidance": 1.0}
    stage.finish(worn, "style", 0, teacher=loop.fingerprint(toy()), below=0.5)
    with pytest.raises(TrainingError, match="none of 1 steps lies where the style was learnt"):
        pairs.train(pairs.Options(run=tmp_path / "few", steps=1, **asked))
    stage.finish(worn, "style", 0, teacher=loop.fingerprint(toy(1)), below=0.5)
    with pytest.raises(TrainingError, match="made for another multi-step model"):
        pairs.train(pairs.Options(run=tmp_path / "other", steps=2, **asked))
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

    monkeypatch.setattr(denoising, "predict", watched)
    style.train(style.Options(
        run=tmp_path / "run", teacher=multi_step, autoencoder=tmp_path, pictures=drawn, rank=2,
        below=0.03, steps=3, batch=40,
    ))  # fmt: skip
    assert min(seen) == 0 and max(seen) == 29 and stage.read(tmp_path / "run")["pictures"] == 3
    assert "1 captions have more than" in capsys.readouterr().out
