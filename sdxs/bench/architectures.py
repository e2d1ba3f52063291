"""The published architectures with random weights, to measure and test what cannot be shipped.

`write` saves one as its publisher did, through diffusers' own `save_pretrained`. The shapes are
the papers' (SDXS, arXiv 2403.16627, section 3.1; Segmind Vega, arXiv 2401.02677, for SDXS-1024)
and those of the models they were distilled from, whose U-Nets `ORIGINALS` has. Imports nothing of
ours.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
from safetensors.torch import load, save_file
from tokenizers import pre_tokenizers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

CROSS_DOWN, CROSS_UP = "CrossAttnDownBlock2D", "CrossAttnUpBlock2D"
DOWN: dict[str, Any] = {  # what a U-Net and its control have in common
    "block_out_channels": (320, 640, 1280),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", CROSS_DOWN, CROSS_DOWN),
}
SDXS_512: dict[str, Any] = {
    **DOWN,
    "sample_size": 64,
    "mid_block_type": None,
    "up_block_types": (CROSS_UP, CROSS_UP, "UpBlock2D"),
}
SD_15 = {"cross_attention_dim": 768, "attention_head_dim": 8}
SD_21 = {
    "cross_attention_dim": 1024,
    "attention_head_dim": [5, 10, 20],
    "use_linear_projection": True,
}
UNETS: dict[str, dict[str, Any]] = {
    "sdxs-512": {**SDXS_512, **SD_15},
    "sdxs-512-paper": {**SDXS_512, **SD_21},
    "sdxs-512-0.9": {
        **SDXS_512,
        "down_block_types": (CROSS_DOWN,) * 3,
        "up_block_types": (CROSS_UP,) * 3,
        "only_cross_attention": [True, False, False],
        **SD_21,
    },
    "sdxs-1024": {
        **SDXS_512,
        **SD_21,
        "sample_size": 128,
        "layers_per_block": 2,
        "transformer_layers_per_block": [1, 1, 2],
        "mid_block_type": "UNetMidBlock2D",
        "cross_attention_dim": 2048,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 1280 + 6 * 256,
    },
}
STABLE_DIFFUSION: dict[str, Any] = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "down_block_types": (*(CROSS_DOWN,) * 3, "DownBlock2D"),
    "up_block_types": ("UpBlock2D", *(CROSS_UP,) * 3),
}
ORIGINALS: dict[str, dict[str, Any]] = {  # the models of many steps, as they were published
    "sd-1.5": {**STABLE_DIFFUSION, **SD_15},
    "sd-2.1-base": {**STABLE_DIFFUSION, **SD_21, "attention_head_dim": [5, 10, 20, 20]},
    "sdxl-base": {
        **UNETS["sdxs-1024"],
        "transformer_layers_per_block": [1, 2, 10],
        "mid_block_type": "UNetMidBlock2DCrossAttn",
    },
}


def _clip(width: int, layers: int, act: str, projection: int) -> dict[str, Any]:
    """A text encoder of CLIP's kind, whose heads are 64 wide."""
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 64,
        "hidden_act": act,
        "projection_dim": projection,
    }


CLIP_L = _clip(768, 12, "quick_gelu", 768)  # OpenAI's ViT-L/14, of SD 1.5 and SDXL
OPENCLIP_H = _clip(1024, 23, "gelu", 512)  # the first 23 layers, of SD 2.1
OPENCLIP_BIGG = _clip(1280, 32, "gelu", 1280)  # SDXL's second
TEXT_ENCODERS = {
    "sdxs-512": (CLIP_L,),
    "sdxs-512-0.9": (OPENCLIP_H,),
    "sdxs-1024": (CLIP_L, OPENCLIP_BIGG),
}
CONTROL = {**DOWN, **SD_15}  # the published sketch control's
LARGE_DECODER = {  # Stable Diffusion's own
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
}
WITH_LARGE_DECODER = ("sdxs-512", "sdxs-512-0.9")
NAMES = tuple(TEXT_ENCODERS)
WINDOW, VOCABULARY = 77, 49408
SCHEDULE = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "timestep_spacing": "trailing",
}


def write(name: str, folder: Path) -> Path:
    """Save a checkpoint of an architecture with random weights; gigabytes for "sdxs-1024"."""
    torch.manual_seed(0)
    tokenizer = byte_tokenizer()
    text = {
        "vocab_size": VOCABULARY,
        "max_position_embeddings": WINDOW,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    previous = torch.get_default_dtype()
    torch.set_default_dtype(torch.float16)
    try:
        unet = diffusers.UNet2DConditionModel(**UNETS[name])
        first, *more = (CLIPTextConfig(**text, **shape) for shape in TEXT_ENCODERS[name])
        encoder = CLIPTextModel(first)
        second = CLIPTextModelWithProjection(*more) if more else None
        vae = diffusers.AutoencoderTiny()
        large = diffusers.AutoencoderKL(**LARGE_DECODER) if name in WITH_LARGE_DECODER else None
    finally:
        torch.set_default_dtype(previous)
    parts = {"unet": unet, "vae": vae, "text_encoder": encoder, "tokenizer": tokenizer}
    if second:
        parts |= {"text_encoder_2": second, "tokenizer_2": byte_tokenizer()}
    kind = diffusers.EulerDiscreteScheduler if second else diffusers.DEISMultistepScheduler
    pipeline = assembled(scheduler=kind(**SCHEDULE), **parts)
    pipeline.to(dtype=torch.float16).save_pretrained(folder)
    file = folder / "text_encoder/model.safetensors"  # named as transformers 4 did
    tensors = {f"text_model.{name}": each for name, each in load(file.read_bytes()).items()}
    save_file(tensors, file, {"format": "pt"})
    if large:
        large.save_pretrained(folder / "vae_large")
    return folder


def assembled(**parts: Any) -> diffusers.DiffusionPipeline:
    """diffusers' pipeline of parts: SDXL's where there is a second text encoder, else SD's."""
    if "text_encoder_2" in parts:
        return diffusers.StableDiffusionXLPipeline(**parts)
    unsafe = {"safety_checker": None, "requires_safety_checker": False, "feature_extractor": None}
    return diffusers.StableDiffusionPipeline(**parts, **unsafe)


def write_control(folder: Path) -> Path:
    """Save a ControlNet for "sdxs-512" with random weights."""
    torch.manual_seed(0)
    network = diffusers.ControlNetModel(**CONTROL)
    for name, parameter in network.named_parameters():
        if name.startswith("controlnet_"):  # zero at birth: nothing would be steered
            parameter.data.normal_(std=0.02)
    network.half().save_pretrained(folder)
    return folder


def byte_tokenizer(merges: Sequence[tuple[str, str]] = (), window: int = WINDOW) -> CLIPTokenizer:
    """CLIP's tokenizer with few merges or none: then every byte is a token."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = letters + [letter + "</w>" for letter in letters]
    tokens += dict.fromkeys(left + right for left, right in merges)
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    ids = {token: index for index, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=ids, merges=list(merges), model_max_length=window)
