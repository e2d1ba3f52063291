"""From a folder in diffusers' layout to checked parts: networks, tokenizer, one-step scheduler.

Honours every config found there. Classes come from the tables below, never from a string in a
file. Knows nothing of where the folder came from, of devices, or of how weights are stored.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    DDIMScheduler,
    DDPMScheduler,
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    UNet2DConditionModel,
    UniPCMultistepScheduler,
)
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from sdxs.errors import CheckpointError, one_line
from sdxs.schedule import OneStep
from sdxs.stored import build, fill, read_config, read_json, weights_file
from sdxs.tokens import PromptReader

PIPELINES = ("StableDiffusionPipeline",)
UNETS = {"UNet2DConditionModel": UNet2DConditionModel}
AUTOENCODERS = {"AutoencoderTiny": AutoencoderTiny, "AutoencoderKL": AutoencoderKL}
TEXT_ENCODERS = {"CLIPTextModel": CLIPTextModel}
SCHEDULERS: dict[str, Any] = {
    "DDIMScheduler": DDIMScheduler,
    "DDPMScheduler": DDPMScheduler,
    "DEISMultistepScheduler": DEISMultistepScheduler,
    "DPMSolverMultistepScheduler": DPMSolverMultistepScheduler,
    "DPMSolverSinglestepScheduler": DPMSolverSinglestepScheduler,
    "EulerAncestralDiscreteScheduler": EulerAncestralDiscreteScheduler,
    "EulerDiscreteScheduler": EulerDiscreteScheduler,
    "LCMScheduler": LCMScheduler,
    "PNDMScheduler": PNDMScheduler,
    "UniPCMultistepScheduler": UniPCMultistepScheduler,
}
DECODER_FOLDERS = {"tiny": "vae", "large": "vae_large"}

UNKNOWN_TO_SD = (  # settings of other kinds of U-Net, which ask for inputs that we do not have
    "addition_embed_type",
    "class_embed_type",
    "encoder_hid_dim",
    "time_cond_proj_dim",
)
OLD_ATTENTION = {  # AutoencoderKL files of 2022 -> today's names
    "query": "to_q",
    "key": "to_k",
    "value": "to_v",
    "proj_attn": "to_out.0",
}


@dataclass(frozen=True)
class Decoder:
    """An autoencoder's decoding half and the scale of the latents that it expects."""

    network: nn.Module
    scale: float
    shift: float
    factor: int  # pixels per latent, along a side
    channels: int  # of the latents


@dataclass(frozen=True)
class Parts:
    """A checkpoint in memory, on the CPU, in one dtype."""

    unet: nn.Module
    text_encoder: nn.Module
    reader: PromptReader
    one_step: OneStep
    decoders: dict[str, Decoder]


def load_parts(folder: Path, dtype: torch.dtype) -> Parts:
    """Read a checkpoint folder. Raises CheckpointError, one line that names file and remedy."""
    _check_kind(folder / "model_index.json")
    unet = load_unet(folder / "unet", dtype)
    text_encoder = load_text_encoder(folder / "text_encoder", dtype)
    reader = load_tokenizer(folder / "tokenizer", text_encoder.config)
    one_step = load_scheduler(folder / "scheduler", unet.config.in_channels)
    decoders = {
        name: load_decoder(folder / part, dtype)
        for name, part in DECODER_FOLDERS.items()
        if name == "tiny" or os.path.isdir(folder / part)
    }
    _check_fit(folder, unet, text_encoder, decoders)
    return Parts(unet, text_encoder, reader, one_step, decoders)


def load_unet(folder: Path, dtype: torch.dtype) -> UNet2DConditionModel:
    """The U-Net of a folder with `config.json` and its safetensors."""
    config = read_config(folder / "config.json", UNETS)
    for name in UNKNOWN_TO_SD:
        if config.get(name) is not None:
            raise CheckpointError(
                f"{folder / 'config.json'}: a U-Net with {name} is not supported yet; "
                "checkpoints of the SD 1.5 and 2.1 kind are"
            )
    sides = config.get("sample_size")
    sides = sides if isinstance(sides, list) else [sides, sides]
    if len(sides) != 2 or not all(type(side) is int and side > 0 for side in sides):
        raise CheckpointError(f"{folder / 'config.json'} needs a sample_size, such as 64")
    unet = build(lambda: UNet2DConditionModel.from_config(config), folder / "config.json")
    return fill(unet, weights_file(folder, "diffusion_pytorch_model"), dtype)


def load_text_encoder(folder: Path, dtype: torch.dtype) -> CLIPTextModel:
    """The text encoder of a folder with `config.json` and its safetensors."""

    def today(key: str) -> str | None:
        key = key.removeprefix("text_model.")  # files written before transformers 5
        return None if key == "embeddings.position_ids" else key

    config = read_config(folder / "config.json", TEXT_ENCODERS)
    encoder = build(lambda: CLIPTextModel(CLIPTextConfig.from_dict(config)), folder / "config.json")
    positions = torch.arange(encoder.config.max_position_embeddings).expand((1, -1))
    encoder.embeddings.position_ids = positions  # a buffer that no file holds
    return fill(encoder, weights_file(folder, "model"), dtype, today)


def load_decoder(folder: Path, dtype: torch.dtype) -> Decoder:
    """The decoder of a folder with an AutoencoderTiny or an AutoencoderKL."""

    def today(key: str) -> str | None:
        if ".attentions." in key:
            key = ".".join(OLD_ATTENTION.get(part, part) for part in key.split("."))
        return key

    config = read_config(folder / "config.json", AUTOENCODERS)
    cls: Any = AUTOENCODERS[config["_class_name"]]
    if cls is AutoencoderTiny:
        config.pop("block_out_channels", None)  # diffusers writes it, then complains of it
    vae = build(lambda: cls.from_config(config), folder / "config.json")
    fill(vae, weights_file(folder, "diffusion_pytorch_model"), dtype, today)
    vae.encoder = None  # only ever asked to decode
    facts = vae.config
    if cls is AutoencoderTiny:
        factor = facts.upsampling_scaling_factor ** (len(facts.num_decoder_blocks) - 1)
    else:
        factor = 2 ** (len(facts.block_out_channels) - 1)
    return Decoder(
        vae, facts.scaling_factor, facts.shift_factor or 0.0, factor, facts.latent_channels
    )


def load_tokenizer(folder: Path, text_config: CLIPTextConfig) -> PromptReader:
    """The tokenizer of a folder with `tokenizer.json`, or with `vocab.json` and `merges.txt`."""
    files = [folder / "tokenizer.json"]
    if not os.path.isfile(files[0]):
        files = [folder / "vocab.json", folder / "merges.txt"]
    for file in files:
        if not os.path.isfile(file):
            raise CheckpointError(
                f"{file} is missing: a tokenizer is tokenizer.json, or vocab.json and merges.txt"
            )
    try:
        tokenizer = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
        reader = PromptReader(tokenizer, text_config.max_position_embeddings)
        highest = max(tokenizer.get_vocab().values())
    except Exception as error:  # foreign files make the library raise anything
        raise CheckpointError(f"{files[0]} cannot be read ({one_line(error)})") from None
    if highest >= text_config.vocab_size:
        raise CheckpointError(
            f"{folder}: the tokenizer has ids up to {highest}, the text encoder knows them up to "
            f"{text_config.vocab_size - 1}: they do not belong together"
        )
    return reader


def load_scheduler(folder: Path, channels: int) -> OneStep:
    """The single step of the scheduler of a folder, tried once."""
    file = folder / "scheduler_config.json"
    config = read_config(file, SCHEDULERS)
    cls = SCHEDULERS[config["_class_name"]]
    try:
        one_step = OneStep(cls.from_config(config))
        trial = torch.ones(1, channels, 8, 8)
        result = one_step(trial, lambda x, t: x, [torch.Generator("cpu")])
    except Exception as error:
        raise CheckpointError(
            f"{file}: {cls.__name__} with these settings cannot do one step ({one_line(error)})"
        ) from None
    if result.shape != trial.shape or not result.isfinite().all():
        raise CheckpointError(f"{file}: {cls.__name__} gives no picture in one step")
    return one_step


def _check_kind(index: Path) -> None:
    """Only what this package can draw with goes on; the rest is named for what it is."""
    kind = read_json(index).get("_class_name")
    if kind not in PIPELINES:
        yet = " yet" if isinstance(kind, str) and kind.startswith("StableDiffusion") else ""
        raise CheckpointError(
            f"{index}: a checkpoint of the kind {one_line(ValueError(kind), 60)} is not supported"
            f"{yet}: {', '.join(PIPELINES)} is"
        )


def _check_fit(folder: Path, unet: Any, text_encoder: Any, decoders: dict[str, Decoder]) -> None:
    """Parts that were never made for each other."""
    problem = ""
    if unet.config.cross_attention_dim != text_encoder.config.hidden_size:
        problem = (
            f"the U-Net reads text {unet.config.cross_attention_dim} wide, "
            f"the text encoder writes {text_encoder.config.hidden_size}"
        )
    for name, decoder in decoders.items():
        if not unet.config.in_channels == unet.config.out_channels == decoder.channels:
            problem = (
                f"the U-Net goes from {unet.config.in_channels} to {unet.config.out_channels} "
                f"latent channels, the {name} decoder reads {decoder.channels}"
            )
        if decoder.factor != decoders["tiny"].factor:
            problem = "the decoders enlarge differently"
    if problem:
        raise CheckpointError(f"{folder}: {problem}: these parts do not belong together")
