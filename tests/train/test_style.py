"""Styles in training: low-rank additions into a U-Net and out to files, pictures from a folder."""

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from sdxs import CheckpointError
from sdxs.checkpoint.lora_file import read_style
from sdxs.model.styles import Styled
from sdxs.storybook import draw
from sdxs.storybook.world.tokenizer import build_tokenizer
from sdxs.train import autoencoder, pairs, style, style_distill
from sdxs.train.parts import distillation, segmented
from sdxs.train.parts import lora as low_rank
from sdxs.train.parts.denoiser import Denoiser
from sdxs.train.parts.models import PRESETS, build_scheduler, build_text_encoder, build_unet
from sdxs.train.parts.solver import Model
from sdxs.train.parts.worn import open_style
from sdxs.train.run import loop, stage


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
    for weight in low_rank.lora(unet, 3):
        weight.data.copy_((0.1 * torch.randn(weight.shape)).half())
    low_rank.save_style(unet, folder)
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
    unet.load_lora_adapter(folder, weight_name=low_rank.FILE, prefix="unet")


def in_the_weights(unet, folder):
    low_rank.merge(unet, read_style(folder, {"unet": unet})["unet"])


@pytest.mark.parametrize("wear", [with_diffusers, in_the_weights])
def test_diffusers_and_the_weights_take_the_file(wear, saved):
    folder, trained, _ = saved
    unet = toy()
    wear(unet, folder)
    torch.testing.assert_close(seen(unet), trained, rtol=1e-4, atol=1e-5)


def test_training_goes_on_from_a_style(saved, tmp_path):
    folder, trained, _ = saved
    unet = toy()
    low_rank.lora(unet, 3)
    low_rank.begin_with(unet, folder)
    torch.testing.assert_close(seen(unet), trained, rtol=1e-4, atol=1e-5)
    low_rank.save_style(unet, tmp_path)
    assert low_rank.fingerprint(tmp_path) == low_rank.fingerprint(folder)
    with safe_open(tmp_path / low_rank.FILE, framework="pt") as file:
        noted = json.loads(file.metadata()["lora_adapter_metadata"])
    assert (noted["unet.r"], noted["unet.lora_alpha"]) == (3, 3)
    torch.testing.assert_close(seen(low_rank.merged(unet)), trained, rtol=1e-4, atol=1e-4)


def test_a_style_of_another_kind_is_no_beginning(saved, tmp_path):
    unet, fewer = toy(), toy()
    low_rank.lora(unet, 2)
    low_rank.lora(fewer, 2, r".*to_q")
    low_rank.save_style(fewer, tmp_path)
    for ours, theirs, error, why in (
        (unet, saved[0], loop.TrainingError, "another rank: give --rank 3"),
        (unet, tmp_path, loop.TrainingError, "for other layers"),
        (fewer, saved[0], CheckpointError, "made for another one"),
    ):
        with pytest.raises(error, match=why):
            low_rank.begin_with(ours, theirs)


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


def wearable(style: Path, run: Path, **facts: Any) -> Path:
    """A style as the training of styles leaves it, for the toy model."""
    shutil.copytree(style, run / "style")
    stage.finish(run, "style", 0, teacher=loop.fingerprint(toy()), **facts)
    return run


@pytest.mark.parametrize("uncarried", [False, True])
def test_a_style_is_distilled_as_the_paper_says(
    saved, multi_step, tmp_path, monkeypatch, uncarried
):
    """The offline model wears the style, the online one does not; the student begins with it."""
    worn = wearable(saved[0], tmp_path / "worn", below=0.7)
    pairs.train(pairs.Options(
        run=tmp_path / "pairs", teacher=multi_step, style=None if uncarried else worn, count=64,
        steps=2, guidance=1.0,
    ))  # fmt: skip
    plain, dressed = toy(), toy()
    in_the_weights(dressed, worn / "style")
    found: dict[str, Any] = {}

    class Watched(segmented.Scores):
        def pull(self, x0: Any, words: Any, alpha: float, *rest: Any) -> Any:
            found.update(alpha=alpha, pull=super().pull(x0, words, alpha, *rest))
            return found["pull"]

    class Watching(distillation.Distillation):
        def follow(self, index: int, generator: Any) -> float:
            models = {"offline": self.scores.offline.unet, "online": self.scores.online.unet}
            for name, unet in models.items():
                found.setdefault(name, loop.fingerprint(unet))
            found.setdefault("student", seen(self.learner.parts["unet"]))
            return super().follow(index, generator)

        def balanced(self, index: int, x0: Any, *rest: Any) -> Any:
            whole, told = super().balanced(index, x0, *rest)
            scores = found["pull"] / x0.numel()
            found["kappa"] = ((whole - scores).norm() / scores.norm()).item()
            return whole, told

    monkeypatch.setattr(style_distill, "Scores", Watched)
    monkeypatch.setattr(style_distill, "Distillation", Watching)
    style_distill.train(style_distill.Options(
        run=tmp_path / "run", offline=multi_step, style=worn, student=multi_step,
        pairs=tmp_path / "pairs", uncarried=uncarried, steps=2, online_steps=1, online_first=1,
        batch=2, rank=3, online_lr=1e-3,
    ))  # fmt: skip
    assert found["offline"] == loop.fingerprint(dressed)
    assert found["online"] == loop.fingerprint(plain) != found["offline"]
    torch.testing.assert_close(found["student"], saved[1], rtol=1e-4, atol=1e-5)
    assert found["alpha"] == 0.7  # above, the style knows nothing
    wanted = segmented.KAPPA[0] * (style_distill.UNCARRIED if uncarried else 1)
    assert found["kappa"] == pytest.approx(wanted, rel=1e-3)


def test_a_style_is_of_pictures_or_of_an_artist(saved, multi_step, tmp_path):
    torch.manual_seed(0)
    made = tmp_path / "a"
    autoencoder.build(12).save_pretrained(made / "vae")
    asked = {"run": tmp_path / "r", "teacher": multi_step, "autoencoder": made, "steps": 1}
    with pytest.raises(loop.TrainingError, match="give --pictures or --artist"):
        style.train(style.Options(**asked))
    style.train(style.Options(**asked, artist="anime"))
    assert len(list((tmp_path / "r/drawn").glob("*.png"))) == style.DRAWN
    draw.draw(tmp_path / "d", "anime", style.DRAWN, style.Options.seed, 64)
    for path in (tmp_path / "d").iterdir():
        assert path.read_bytes() == (tmp_path / "r/drawn" / path.name).read_bytes()


def test_a_style_is_of_its_own_multi_step_model(saved, multi_step, tmp_path):
    model, worn = Model.load(multi_step), wearable(saved[0], tmp_path / "worn")
    assert open_style(worn, model.networks).below == 1.0  # made before styles began anywhere
    asked = {"style": worn, "teacher": multi_step, "count": 64, "guidance": 1.0}
    for seed, steps, why in (
        (0, 1, "none of 1 steps lies where the style was learnt"),
        (1, 2, "made for another multi-step model"),
    ):
        stage.finish(worn, "style", 0, teacher=loop.fingerprint(toy(seed)), below=0.5)
        with pytest.raises(loop.TrainingError, match=why):
            pairs.train(pairs.Options(run=tmp_path / "pairs", steps=steps, **asked))
    file = worn / "style" / low_rank.FILE
    file.write_bytes(file.read_bytes()[:999])
    with pytest.raises(CheckpointError, match="is damaged"):
        low_rank.fingerprint(worn / "style")


def test_a_style_is_learnt_below_its_timestep(multi_step, vae, tmp_path, monkeypatch, capsys):
    vae.save_pretrained(tmp_path / "vae")
    drawn = tmp_path / "drawn"
    draw.draw(drawn, "anime", 2, 1, 64)
    (drawn / "._00000.png").write_bytes(b"what a Mac leaves")
    (drawn / "00002.txt").write_text("a red house " * 20)
    shutil.copy(drawn / "00000.png", drawn / "00002.png")
    seen: list[int] = []

    predict = Denoiser.predict

    def watched(denoiser: Denoiser, x: Any, t: Any, words: Any) -> Any:
        seen.extend(t.tolist() if t.ndim else [])  # what a model is asked when it is read
        return predict(denoiser, x, t, words)

    monkeypatch.setattr(Denoiser, "predict", watched)
    style.train(style.Options(
        run=tmp_path / "run", teacher=multi_step, autoencoder=tmp_path, pictures=drawn, rank=2,
        below=0.03, steps=3, batch=40,
    ))  # fmt: skip
    assert min(seen) == 0 and max(seen) == 29 and stage.read(tmp_path / "run")["pictures"] == 3
    assert "1 captions have more than" in capsys.readouterr().out
