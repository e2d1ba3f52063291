"""The stages of the published architectures: networks with random weights, and what goes in.

Knows nothing of clocks and tables.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from sdxs.bench.architectures import (
    CLIP_L,
    LARGE_DECODER,
    OPENCLIP_BIGG,
    OPENCLIP_H,
    ORIGINALS,
    UNETS,
    VOCABULARY,
    WINDOW,
)

STAGES = {"text": "text encoder", "unet": "U-Net", "decoder": "image decoder"}
FACTOR = 8  # pixels along the side of a latent's cell
CHANNELS = 4
PAPER_STEPS = 16  # of tables 1 and 2: 32 evaluations, two a step with guidance


@dataclass(frozen=True)
class Architecture:
    """A column of the paper's tables 1 or 2. side: of its pictures, in pixels. text: encoders, one
    after the other. guided: evaluated for the prompt and for the empty one."""

    title: str
    table: int
    side: int
    unet: Mapping[str, Any]
    text: tuple[Mapping[str, Any], ...]
    tiny: bool = True
    steps: int = 1
    guided: bool = False

    @property
    def evaluations(self) -> dict[str, int]:
        """Of each stage for a picture (the paper's NFEs)."""
        each = 2 if self.guided else 1
        return {"text": each, "unet": each * self.steps, "decoder": 1}

    def key(self, stage: str) -> str:
        """Equal for stages that compute the same."""
        told = {
            "text": self.text,
            "unet": [self.unet, self.side],
            "decoder": [self.tiny, self.side],
        }
        return json.dumps([stage, told[stage]])


def _original(title: str, table: int, side: int, name: str, *text: Any) -> Architecture:
    return Architecture(title, table, side, ORIGINALS[name], text, False, PAPER_STEPS, guided=True)


ARCHITECTURES = {
    "sd-1.5": _original("SD 1.5", 1, 512, "sd-1.5", CLIP_L),
    "sd-2.1-base": _original("SD 2.1 base", 1, 512, "sd-2.1-base", OPENCLIP_H),
    "sdxs-512-paper": Architecture("SDXS-512", 1, 512, UNETS["sdxs-512-paper"], (OPENCLIP_H,)),
    "sdxs-512-0.9": Architecture("SDXS-512-0.9", 1, 512, UNETS["sdxs-512-0.9"], (OPENCLIP_H,)),
    "sdxs-512": Architecture("SDXS-512 DreamShaper", 1, 512, UNETS["sdxs-512"], (CLIP_L,)),
    "sdxl-base": _original("SDXL base", 2, 1024, "sdxl-base", CLIP_L, OPENCLIP_BIGG),
    "sdxs-1024": Architecture("SDXS-1024", 2, 1024, UNETS["sdxs-1024"], (CLIP_L, OPENCLIP_BIGG)),
}


class TextEncoders(nn.Module):
    """One or two on the same token ids (B, L)."""

    def __init__(self, shapes: tuple[Mapping[str, Any], ...]) -> None:
        super().__init__()
        settings = {"vocab_size": VOCABULARY, "max_position_embeddings": WINDOW}
        first, *more = (CLIPTextConfig(**settings, **shape) for shape in shapes)
        self.encoders = nn.ModuleList(
            [CLIPTextModel(first), *(CLIPTextModelWithProjection(config) for config in more)]
        )

    def forward(self, ids: Tensor) -> list[Tensor]:
        return [encoder(ids)[0] for encoder in self.encoders]


def build(architecture: Architecture, stage: str, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A stage with random weights, on torch's default device."""
    previous = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        network = _network(architecture, stage)
    finally:
        torch.set_default_dtype(previous)
    return network.eval().requires_grad_(False)


def _network(architecture: Architecture, stage: str) -> nn.Module:
    if stage == "text":
        return TextEncoders(architecture.text)
    if stage == "unet":
        return UNet2DConditionModel(**architecture.unet)
    if architecture.tiny:
        return AutoencoderTiny().decoder
    autoencoder = AutoencoderKL(**LARGE_DECODER)
    return nn.Sequential(autoencoder.post_quant_conv, autoencoder.decoder)


def inputs(
    architecture: Architecture, stage: str, device: torch.device, dtype: torch.dtype
) -> dict[str, Any]:
    """The arguments of a stage's network for one picture, by name or at "" by position."""
    place: dict[str, Any] = {"device": device, "dtype": dtype}
    if stage == "text":
        return {"": torch.zeros(1, WINDOW, dtype=torch.long, device=device)}  # (1, L)
    cells = architecture.side // FACTOR
    latents = torch.randn(1, CHANNELS, cells, cells, **place)  # (1, C, h, w)
    latents = latents.contiguous(memory_format=torch.channels_last)
    if stage == "decoder":
        return {"": latents}
    unet = architecture.unet
    asked: dict[str, Any] = {
        "sample": latents,
        "timestep": torch.tensor(999, device=device),
        "encoder_hidden_states": torch.randn(1, WINDOW, unet["cross_attention_dim"], **place),
    }
    if "addition_embed_type" in unet:
        times = 6 * unet["addition_time_embed_dim"]
        pooled = unet["projection_class_embeddings_input_dim"] - times
        asked["added_cond_kwargs"] = {
            "text_embeds": torch.randn(1, pooled, **place),
            "time_ids": torch.zeros(1, 6, **place),
        }
    return asked


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def counted(architecture: Architecture, stage: str) -> int:
    """Parameters of a stage, without memory for them."""
    with torch.device("meta"):
        return parameters(build(architecture, stage))
