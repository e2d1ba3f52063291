"""diffusers' own pipelines, which ours are compared with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch


def pipeline_of(checkpoint: Path, kind: Any = None, **parts: Any) -> Any:
    """The pipeline of a checkpoint, or of a kind that is named."""
    from diffusers import DiffusionPipeline

    pipeline = (kind or DiffusionPipeline).from_pretrained(checkpoint, **parts)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def one_step(pipeline: Any, prompts: Any, seeds: Sequence[int], **options: Any) -> Any:
    """What a pipeline paints in one step and without guidance."""
    chance = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    usual = {"num_inference_steps": 1, "guidance_scale": 1.0, "generator": chance}
    return pipeline(prompts, **usual, **options).images


@torch.no_grad()
def decoded(pipeline: Any, latents: torch.Tensor) -> torch.Tensor:
    """The decoder's own output (B, 3, H, W), which the pipeline itself clamps."""
    return pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample


def painted(pipeline: Any, prompts: Any, seeds: Sequence[int], **options: Any) -> torch.Tensor:
    """Pictures (B, 3, H, W) of one step, not clamped."""
    return decoded(pipeline, one_step(pipeline, prompts, seeds, output_type="latent", **options))
