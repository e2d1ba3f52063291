"""Rivals paint what diffusers paints at their settings, ours what SDXS paints."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from edits import config
from PIL import Image, ImageChops
from safetensors.torch import save_file
from tiny import build_checkpoint, tiny_scheduler, tiny_unet

from sdxs.errors import SDXSError
from sdxs.evaluate import painters
from sdxs.evaluate.painters import KINDS, OURS, Model, model, open_painter

CPU, F32 = torch.device("cpu"), torch.float32
PROMPTS, SEEDS = ["a red house", "a blue ball at night"], [3, 9]


@pytest.fixture(scope="module")
def rival(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy of many steps, epsilon, whose index names a checker and a preprocessor that are not
    there, as of published ones no more is fetched than is needed."""
    folder = build_checkpoint(
        tmp_path_factory.mktemp("rival") / "rival", tiny_scheduler("pndm", skip_prk_steps=True)
    )
    with config(folder / "model_index.json") as index:
        index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
        index["feature_extractor"] = ["transformers", "CLIPImageProcessor"]
    return folder


def theirs(folder: Path) -> Any:
    nothing = {"safety_checker": None, "feature_extractor": None}
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(folder, **nothing)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def by_diffusers(pipeline: Any, steps: int, guidance: float) -> list[Image.Image]:
    """One by one."""
    return [
        pipeline(
            prompt, generator=torch.Generator().manual_seed(seed), num_inference_steps=steps,
            guidance_scale=guidance,
        ).images[0]
        for prompt, seed in zip(PROMPTS, SEEDS, strict=True)
    ]  # fmt: skip


def same(ours: list[Image.Image], wanted: list[Image.Image]) -> bool:
    """To one in 255, as batches and single ones are computed in another order."""
    pairs = zip(ours, wanted, strict=True)
    return all(
        high <= 1
        for one, other in pairs
        for _, high in ImageChops.difference(one, other).getextrema()
    )


def painted(folder: Path, kind: str) -> tuple[list[Image.Image], dict[str, Any]]:
    painter = open_painter(Model(str(folder), kind), CPU, F32)
    return painter.paint(PROMPTS, SEEDS), painter.facts


@pytest.mark.parametrize(
    ("kind", "scheduler", "steps", "guidance", "evaluations"),
    [
        ("sd", None, 50, 7.5, 100),
        ("sd-paper", diffusers.DPMSolverMultistepScheduler, 8, 7.5, 16),
        ("lcm", diffusers.LCMScheduler, 4, 8.0, 8),
        ("turbo", None, 1, 0.0, 1),
    ],
)
def test_a_rival_is_diffusers_own(
    rival: Path, kind: str, scheduler: Any, steps: int, guidance: float, evaluations: int
) -> None:
    pipeline = theirs(rival)
    if scheduler:
        pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config)
    ours, facts = painted(rival, kind)
    assert same(ours, by_diffusers(pipeline, steps, guidance))
    assert facts["steps"] == steps and facts["evaluations"] == evaluations
    assert facts["scheduler"] == type(pipeline.scheduler).__name__
    assert facts["parameters"] == sum(each.numel() for each in pipeline.unet.parameters())


def test_guidance_that_is_an_input_costs_nothing(rival: Path, tmp_path: Path) -> None:
    """Of a U-Net that was distilled with it, as LCM's."""
    pipeline = theirs(rival)
    torch.manual_seed(0)
    unet = tiny_unet(time_cond_proj_dim=8)
    pipeline.unet = unet
    pipeline.register_modules(unet=unet)
    pipeline.save_pretrained(tmp_path)
    pipeline.scheduler = diffusers.LCMScheduler.from_config(pipeline.scheduler.config)
    ours, facts = painted(tmp_path, "lcm")
    assert same(ours, by_diffusers(pipeline, 4, 8.0)) and facts["evaluations"] == 4


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Path]:
    """`hub(file)`: where a file of a repository lies that the Hub is asked for."""
    asked: list[Any] = []

    def repository(name: str, hub_id: str, revision: Any, wanted: Any) -> Path:
        asked.append((hub_id, wanted))
        return tmp_path

    monkeypatch.setattr(painters, "repository", repository)
    return lambda file: tmp_path / file


def test_another_unet_is_put_in(rival: Path, hub: Callable[[str], Path]) -> None:
    torch.manual_seed(5)
    other = tiny_unet()
    kind = KINDS["lightning-1"]
    assert kind.unet
    save_file(other.state_dict(), hub(kind.unet[1]))
    pipeline = theirs(rival)
    pipeline.unet = other
    pipeline.scheduler = diffusers.EulerDiscreteScheduler.from_config(
        pipeline.scheduler.config, timestep_spacing="trailing", prediction_type="sample"
    )
    ours, facts = painted(rival, "lightning-1")
    assert same(ours, by_diffusers(pipeline, 1, 0.0)) and facts["evaluations"] == 1
    save_file({"conv_in.weight": torch.zeros(1)}, hub(kind.unet[1]))
    with pytest.raises(SDXSError, match=r"SDXL-Lightning/.* does not fit"):
        painted(rival, "lightning-1")


def test_a_lora_is_put_in(rival: Path, hub: Callable[[str], Path], unet_lora: Any) -> None:
    from peft import get_peft_model_state_dict

    layers = get_peft_model_state_dict(unet_lora)
    layers = {name.removeprefix("base_model.model."): each for name, each in layers.items()}
    diffusers.StableDiffusionPipeline.save_lora_weights(hub(""), unet_lora_layers=layers)
    pipeline = theirs(rival)
    pipeline.scheduler = diffusers.LCMScheduler.from_config(pipeline.scheduler.config)
    plain = by_diffusers(pipeline, 4, 1.0)
    pipeline.load_lora_weights(hub("pytorch_lora_weights.safetensors"))
    ours, facts = painted(rival, "lcm-lora")
    assert same(ours, by_diffusers(pipeline, 4, 1.0)) and not same(ours, plain)
    assert facts["evaluations"] == 4


def test_ours(tiny_checkpoint: Path, tiny_model: Any) -> None:
    ours, facts = painted(tiny_checkpoint, OURS)
    assert same(ours, tiny_model(PROMPTS, seed=SEEDS)) and facts["evaluations"] == 1
    unet = diffusers.UNet2DConditionModel.from_pretrained(tiny_checkpoint / "unet")
    assert facts["parameters"] == sum(each.numel() for each in unet.parameters())


def test_what_is_meant() -> None:
    assert model("storybook") == Model("storybook", OURS)
    assert model("stabilityai/sd-turbo@v1") == Model("stabilityai/sd-turbo@v1", "turbo")
    assert model("runs/a=b=sd") == Model("runs/a=b", "sd")
    with pytest.raises(SDXSError, match=r"no kind 'tubro': did you mean turbo\?"):
        model("stabilityai/sd-turbo=tubro")
    assert all(row.source for row in KINDS.values())


def test_mistakes(rival: Path, tmp_path: Path) -> None:
    with pytest.raises(SDXSError, match="there is no file or folder"):
        painted(tmp_path / "nowhere/x/y", "sd")
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    with pytest.raises(SDXSError, match="diffusers cannot load"):
        painted(tmp_path, "sd")


def test_only_in_16_bits(rival: Path, tmp_path: Path) -> None:
    pipeline = theirs(rival)
    pipeline.save_pretrained(tmp_path, variant="fp16")
    ours, _ = painted(tmp_path, "turbo")
    assert same(ours, by_diffusers(pipeline, 1, 0.0))
