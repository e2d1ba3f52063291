"""Many steps, one, and a step along a path: against diffusers and in closed form."""

import copy
import dataclasses
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from tiny import build_multistep

from sdxs.bench.architectures import assembled
from sdxs.storybook.world.tokenizer import build_tokenizer
from sdxs.train.parts import denoiser
from sdxs.train.parts.autoencoders import Autoencoder, read_autoencoder
from sdxs.train.parts.denoiser import Denoiser, leave
from sdxs.train.parts.lora import lora, save_style
from sdxs.train.parts.models import build_scheduler
from sdxs.train.parts.schedule import Schedule
from sdxs.train.parts.solver import Model
from sdxs.train.parts.worn import open_style
from sdxs.train.run import loop, stage
from sdxs.train.run.loop import TrainingError
from sdxs.train.straighten import ddim


def test_sampling_is_that_of_diffusers(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """DPM-Solver++ (2M) with guidance, against StableDiffusionPipeline, in float32."""
    monkeypatch.setattr(denoiser, "fast", nullcontext)
    pipeline = assembled(
        vae=AutoencoderTiny(latent_channels=4), text_encoder=model.text.networks["text_encoder"],
        tokenizer=build_tokenizer(), unet=model.unet, scheduler=model.solver,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.randn(2, 4, 8, 8)
    texts = ["a red ball", "a big blue house at night"]
    for steps, guidance in ((10, 3.0), (1, 1.0)):
        wanted = pipeline(
            texts, negative_prompt=["", ""], latents=noise.clone(), num_inference_steps=steps,
            guidance_scale=guidance, output_type="latent",
        ).images  # fmt: skip
        ours = model.sample(texts, noise, steps, guidance)
        torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-4)
    at_once = model.one_step(noise, model.embed(texts))
    torch.testing.assert_close(at_once, wanted, rtol=1e-4, atol=1e-4)


def test_a_style_begins_below_a_timestep(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dressed = copy.deepcopy(model.unet)
    for weight in lora(dressed, 2):
        weight.data.normal_(0, 0.1)
    save_style(dressed, tmp_path / "style")
    stage.finish(tmp_path, "style", 0, teacher=loop.fingerprint(model.unet), below=0.6)
    learnt = open_style(tmp_path, model.networks)
    late, always = model.wearing(learnt), model.wearing(dataclasses.replace(learnt, below=1.0))
    seen: list[tuple[int, bool]] = []

    def predict(used: Denoiser, x: torch.Tensor, t: torch.Tensor, *_: object) -> object:
        seen.append((int(t), used.unet is model.unet))
        return torch.zeros_like(x)

    monkeypatch.setattr(Denoiser, "predict", predict)
    noise = torch.randn(1, 4, 8, 8)
    late.sample(["a red ball"], noise, 4, 1.0)
    assert seen == [(999, True), (749, True), (499, False), (249, False)]
    seen.clear()
    always.sample(["a red ball"], noise, 4, 1.0)
    assert not any(plain for _, plain in seen)

    def told(used: Denoiser, x: torch.Tensor, *_: object) -> torch.Tensor:
        if used.unet is not model.unet:
            return torch.full_like(x, 5.0)
        words, nothing = torch.full_like(x, 2.0).chunk(2)
        return torch.cat((words, nothing - 1))

    monkeypatch.setattr(Denoiser, "predict", told)
    words, t = model.both(model.embed(["a red ball"])), torch.tensor(1)
    assert (model.guided(noise, t, words, 3.0) == 4).all()  # 1 + 3 (2 - 1)
    # in a style the plain model says what the words add: 5 + 2 (2 - 1)
    assert (always.guided(noise, t, words, 3.0) == 7).all()


def test_one_step_along_the_path_is_diffusers_ddim() -> None:
    scheduler = DDIMScheduler.from_config(build_scheduler().config)
    scheduler.set_timesteps(50)
    schedule = Schedule.of(scheduler.config)
    x, v = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8)
    for t in scheduler.timesteps[[0, 20, 48]].tolist():
        wanted = scheduler.step(v, t, x).prev_sample
        ours = ddim(schedule, x, v, torch.tensor([t]), torch.tensor([t - 20]))
        torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-4)


def test_the_exact_velocity_leads_along_the_path() -> None:
    """From x_t = a x0 + s e and its true v, DDIM reaches a' x0 + s' e."""
    schedule = Schedule.of(build_scheduler().config)
    alphas = schedule.alphas
    x0, noise = torch.randn(2, 3, 4, 8, 8).unbind()
    t, to = torch.tensor([999, 499, 39]), torch.tensor([979, 479, 19])
    a, s = alphas.sqrt()[:, None, None, None], (1 - alphas).sqrt()[:, None, None, None]
    x = a[t] * x0 + s[t] * noise
    ours = ddim(schedule, x, schedule.target(x0, noise, t), t, to)
    torch.testing.assert_close(ours, a[to] * x0 + s[to] * noise, rtol=1e-4, atol=1e-4)


def test_noise_taken_for_velocity_is_told(
    model: Model, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.check_prediction(tiny_checkpoint)
    monkeypatch.setattr(Denoiser, "predict", lambda _, x, t, words: x + 0.1 * torch.randn_like(x))
    with pytest.raises(TrainingError, match=r"predicts noise, and its scheduler states .*v_pred"):
        Model.load(tiny_checkpoint)
    noisy = Schedule.of({**model.schedule.config, "prediction_type": "epsilon"})
    dataclasses.replace(model, schedule=noisy).check_prediction(tiny_checkpoint)


def test_models_that_do_not_belong_together_are_told(model: Model, tmp_path: Path) -> None:
    leave(model, tmp_path, tmp_path)
    assert model.fit(tmp_path).unet.training is False
    for settings, why in (
        ({"cross_attention_dim": 64}, "reads text so wide: 64, the multi-step model 32"),
        ({"sample_size": 16}, "so many latents along a side: 16"),
    ):
        other = UNet2DConditionModel.from_config({**model.unet.config, **settings})
        other.save_pretrained(tmp_path / "unet")
        with pytest.raises(TrainingError, match=why):
            model.fit(tmp_path)


def test_another_kind_of_autoencoder_is_told(tmp_path: Path) -> None:
    folder = build_multistep(tmp_path / "sd", "sd15")
    with pytest.raises(TrainingError, match="holds an AutoencoderKL, and an AutoencoderTiny is"):
        read_autoencoder(folder)
    vae, theirs = Autoencoder.load(folder), AutoencoderKL.from_pretrained(folder / "vae")
    picture = torch.rand(1, 3, 64, 64) * 2 - 1
    latents = theirs.encode(picture).latent_dist.mean * 0.18215
    torch.testing.assert_close(vae.encode(picture), latents)
    torch.testing.assert_close(vae.decode(latents), theirs.decode(latents / 0.18215).sample)
