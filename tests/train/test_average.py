"""The mean of models, and of styles: of weights, exactly; and of such alone that have one."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sdxs.storybook.world.tokenizer import build_tokenizer
from sdxs.train import average, style_average
from sdxs.train.parts.denoiser import read_denoiser
from sdxs.train.parts.lora import FILE, begin_with, lora, save_style
from sdxs.train.parts.models import PRESETS, build_scheduler, build_text_encoder, build_unet
from sdxs.train.parts.text_encoders import TextEncoders
from sdxs.train.run import stage
from sdxs.train.run.loop import TrainingError


@pytest.fixture
def models(tmp_path: Path) -> list[Path]:
    """Three of one shape, with the same words."""
    tokenizer = build_tokenizer()
    torch.manual_seed(9)
    text = build_text_encoder(PRESETS["toy"], tokenizer)
    out = []
    for seed in range(3):
        folder = tmp_path / str(seed)
        torch.manual_seed(seed)
        parts = {
            "unet": build_unet(PRESETS["toy"], 64), "text_encoder": text, "tokenizer": tokenizer,
            "scheduler": build_scheduler(),
        }  # fmt: skip
        for name, part in parts.items():
            part.save_pretrained(folder / name)
        stage.finish(folder, "distill", 0)
        out.append(folder)
    return out


@pytest.mark.parametrize("shares", [(), (0.5, 0.3, 0.2)])
def test_it_is_the_mean_of_the_weights(models, tmp_path, shares) -> None:
    average.average(average.Options(run=tmp_path / "m", models=tuple(models), shares=shares))
    states = [read_denoiser(folder).unet.state_dict() for folder in models]
    for name, mean in read_denoiser(tmp_path / "m").unet.state_dict().items():
        given = zip(shares or (1 / 3,) * 3, states, strict=True)
        torch.testing.assert_close(mean, sum(s * state[name] for s, state in given))
    result = stage.read(tmp_path / "m")
    assert result["stage"] == "average" and len(result["models"]) == 3
    assert (tmp_path / "m/text_encoder/config.json").exists()


def test_what_has_no_mean_is_refused(models, tmp_path) -> None:
    first, second, third = models
    torch.manual_seed(5)
    build_unet(PRESETS["xs"], 64).save_pretrained(second / "unet")
    text = TextEncoders.load(third).networks["text_encoder"]
    text.final_layer_norm.weight.data += 1
    text.save_pretrained(third / "text_encoder")
    for given, shares, why in (
        ((first,), (), "of two at least"),
        ((first, first), (0.5,), "one for each of the 2"),
        ((first, first), (0.5, 0.6), "1 in all"),
        ((first, second), (), "different layers"),
        ((first, third), (), "different text encoders"),
    ):
        with pytest.raises(TrainingError, match=why):
            average.average(average.Options(run=tmp_path / "m", models=given, shares=shares))
    assert not (tmp_path / "m").exists()


@pytest.fixture
def styles(tmp_path: Path) -> list[Path]:
    """Two of one model, a third of another."""
    out = []
    for seed, student in enumerate("aab"):
        folder = tmp_path / f"style{seed}"
        torch.manual_seed(seed)
        unet = build_unet(PRESETS["toy"], 64)
        for weight in lora(unet, 2):
            torch.nn.init.normal_(weight)
        save_style(unet, folder / "style")
        stage.finish(folder, "style_distill", 0, student=student)
        out.append(folder)
    return out


def test_of_styles_it_is_the_mean_of_their_matrices_and_read_as_one(styles, tmp_path) -> None:
    first, second, other = styles
    options = style_average.Options(run=tmp_path / "m", styles=(first, second), shares=(0.25, 0.75))
    style_average.average(options)
    read = [load_file(folder / "style" / FILE) for folder in (first, second, tmp_path / "m")]
    for name, mean in read[2].items():
        assert mean.dtype == torch.float16
        wanted = 0.25 * read[0][name].float() + 0.75 * read[1][name].float()
        torch.testing.assert_close(mean.float(), wanted, atol=2e-3, rtol=2e-3)
    unet = build_unet(PRESETS["toy"], 64)
    lora(unet, 2)
    begin_with(unet, tmp_path / "m/style")
    assert stage.read(tmp_path / "m")["student"] == "a"
    with pytest.raises(TrainingError, match="of different models"):
        style_average.average(style_average.Options(run=tmp_path / "n", styles=(first, other)))
