"""From a folder in diffusers' layout to checked parts: networks, tokenizer, one-step scheduler.

Honours every config found there. Classes come from the tables below, never from a string in a
file. Knows nothing of where the folder came from, of devices, or of how weights are stored.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    ControlNetModel,
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
from torch import Tensor, nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from sdxs.checkpoint.tensors import build, fill, read_config, read_json, weights_file
from sdxs.errors import CheckpointError, one_line
from sdxs.model.controls import build_control
from sdxs.model.schedule import OneStep
from sdxs.model.text import TextEncoder, TextEncoders
from sdxs.model.tokens import PromptReader

SDXL = "StableDiffusionXLPipeline"
PIPELINES: dict[str, dict[str, Any]] = {  # kind -> folder -> class of a text encoder
    "StableDiffusionPipeline": {"text_encoder": CLIPTextModel},
    SDXL: {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection},
}
UNETS = {"UNet2DConditionModel": UNet2DConditionModel}
AUTOENCODERS = {"AutoencoderTiny": AutoencoderTiny, "AutoencoderKL": AutoencoderKL}
CONTROLS = {"ControlNetModel": ControlNetModel}
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
MOST_LATENTS = 256  # along a side of the picture that a checkpoint draws unasked
DECODER_FOLDERS = {"tiny": "vae", "large": "vae_large"}

SHARED = (  # settings that a control has in common with the U-Net that it steers
    "in_channels", "cross_attention_dim", "block_out_channels", "layers_per_block",
    "addition_embed_type", "addition_time_embed_dim", "projection_class_embeddings_input_dim",
)  # fmt: skip
USUAL_CONTROL = {  # what else a control may say
    "conditioning_channels": 3,
    "controlnet_conditioning_channel_order": "rgb",
    "global_pool_conditions": False,
    "class_embed_type": None,
    "encoder_hid_dim": None,
    "encoder_hid_dim_type": None,
}
UNKNOWN_TO_SD = (  # settings of other kinds of U-Net, which ask for inputs that we do not have
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
    scale: float | Tensor
    shift: float | Tensor
    dtype: torch.dtype
    factor: int  # pixels per latent, along a side
    channels: int  # of the latents


@dataclass(frozen=True)
class Parts:
    """A checkpoint in memory, on the CPU, in one dtype."""

    unet: nn.Module
    text: TextEncoders
    one_step: OneStep
    decoders: dict[str, Decoder]


def load_parts(folder: Path, dtype: torch.dtype) -> Parts:
    """Read a checkpoint folder. Raises CheckpointError, one line that names file and remedy."""
    kind = _kind(folder / "model_index.json")
    unet = load_unet(folder / "unet", dtype, sdxl=kind == SDXL)
    encoders = {}
    for name, cls in PIPELINES[kind].items():
        network = load_text_encoder(folder / name, dtype, cls)
        reader = load_tokenizer(folder / name.replace("text_encoder", "tokenizer"), network.config)
        encoders[name] = TextEncoder(network, reader)
    one_step = load_scheduler(folder / "scheduler", unet.config.in_channels)
    decoders = {
        name: load_decoder(folder / part, dtype, sdxl=kind == SDXL)
        for name, part in DECODER_FOLDERS.items()
        if name == "tiny" or os.path.isdir(folder / part)
    }
    text = TextEncoders(encoders)
    _check_fit(folder, unet, text, decoders)
    return Parts(unet, text, one_step, decoders)


def load_unet(folder: Path, dtype: torch.dtype, *, sdxl: bool = False) -> UNet2DConditionModel:
    """The U-Net of a folder with `config.json` and its safetensors."""
    config = read_config(folder / "config.json", UNETS)
    addition, wanted = config.get("addition_embed_type"), "text_time" if sdxl else None
    if addition != wanted:
        raise CheckpointError(
            f"{folder / 'config.json'}: addition_embed_type is "
            f"{one_line(addition, 60)}, for a checkpoint of this kind it is {wanted}"
        )
    for name in UNKNOWN_TO_SD:
        if config.get(name) is not None:
            raise CheckpointError(
                f"{folder / 'config.json'}: a U-Net with {name} is not supported yet: leave such "
                "a checkpoint to diffusers"
            )
    sides = config.get("sample_size")
    sides = sides if isinstance(sides, list) else [sides, sides]
    if len(sides) != 2 or not all(type(side) is int and 0 < side <= MOST_LATENTS for side in sides):
        raise CheckpointError(
            f"{folder / 'config.json'} needs a sample_size, such as 64, of at most {MOST_LATENTS}"
        )
    unet = build(lambda: UNet2DConditionModel.from_config(config), folder / "config.json")
    return fill(unet, weights_file(folder, "diffusion_pytorch_model"), dtype)


def load_text_encoder(
    folder: Path, dtype: torch.dtype, cls: type = CLIPTextModel
) -> CLIPTextModel | CLIPTextModelWithProjection:
    """The text encoder of a folder with `config.json` and its safetensors."""

    def today(key: str) -> str | None:
        if key.endswith("embeddings.position_ids"):
            return None
        # files written before transformers 5
        return key.removeprefix("text_model.") if cls is CLIPTextModel else key

    config = read_config(folder / "config.json", {cls.__name__: cls})
    encoder = build(lambda: cls(CLIPTextConfig.from_dict(config)), folder / "config.json")
    if type(encoder.config.eos_token_id) is not int:
        raise CheckpointError(f"{folder / 'config.json'} needs an eos_token_id, a whole number")
    positions = torch.arange(encoder.config.max_position_embeddings).expand((1, -1))
    body = encoder if cls is CLIPTextModel else encoder.text_model
    body.embeddings.position_ids = positions  # a buffer that no file holds
    return fill(encoder, weights_file(folder, "model"), dtype, today)


def load_decoder(folder: Path, dtype: torch.dtype, *, sdxl: bool = False) -> Decoder:
    """The decoder of a folder with an AutoencoderTiny or an AutoencoderKL.

    SDXL's own decoder overflows in float16: with `sdxl`, `force_upcast` makes it float32.
    """

    def today(key: str) -> str | None:
        if ".attentions." in key:
            key = ".".join(OLD_ATTENTION.get(part, part) for part in key.split("."))
        return key

    config = read_config(folder / "config.json", AUTOENCODERS)
    cls: Any = AUTOENCODERS[config["_class_name"]]
    if cls is AutoencoderTiny:
        config.pop("block_out_channels", None)  # diffusers writes it, then complains of it
    vae = build(lambda: cls.from_config(config), folder / "config.json")
    facts = vae.config
    scale = facts.get("scaling_factor")
    if type(scale) not in (int, float) or not 0 < scale < math.inf:
        raise CheckpointError(f"{folder / 'config.json'} needs a scaling_factor, a positive number")
    if sdxl and dtype == torch.float16 and facts.get("force_upcast"):
        dtype = torch.float32
    fill(vae, weights_file(folder, "diffusion_pytorch_model"), dtype, today)
    vae.encoder = None  # only ever asked to decode
    if cls is AutoencoderTiny:
        factor = facts.upsampling_scaling_factor ** (len(facts.num_decoder_blocks) - 1)
    else:
        factor = 2 ** (len(facts.block_out_channels) - 1)
    shift: float | Tensor = 0.0  # diffusers' pipelines of these kinds shift nothing
    if sdxl and facts.get("latents_mean") and facts.get("latents_std"):
        scale, shift = _statistics(facts, folder / "config.json")
    return Decoder(vae, scale, shift, dtype, factor, facts.latent_channels)


def _statistics(facts: Any, file: Path) -> tuple[Tensor, Tensor]:
    """Scale and shift per channel, (1, C, 1, 1), of an autoencoder that states them."""
    try:
        mean, std = (
            torch.tensor(facts[name], dtype=torch.float32).view(1, facts.latent_channels, 1, 1)
            for name in ("latents_mean", "latents_std")
        )
    except (TypeError, ValueError, RuntimeError):
        raise CheckpointError(
            f"{file}: latents_mean and latents_std need one number a channel"
        ) from None
    return facts.scaling_factor / std, mean


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
        reader.ids(["a"])
    except Exception as error:  # foreign files make the library raise anything
        raise CheckpointError(f"{files[0]} cannot be read ({one_line(error)})") from None
    if reader.length < 2:
        raise CheckpointError(f"{folder / 'tokenizer_config.json'}: model_max_length is below 2")
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


def load_control(folder: Path, dtype: torch.dtype, parts: Parts) -> ControlNetModel:
    """A ControlNet of a folder with `config.json` and its safetensors, checked against a model."""
    unet, factor = parts.unet.config, parts.decoders["tiny"].factor
    file = folder / "config.json"
    config = read_config(file, CONTROLS)
    network = build(lambda: build_control(config), file)
    for name in SHARED:
        own, wanted = network.config[name], unet[name]
        if _plain(own) != _plain(wanted):
            raise CheckpointError(
                f"{file}: {name} is {own}, the checkpoint's U-Net has {wanted}: "
                "this control was made for another model"
            )
    for name, usual in USUAL_CONTROL.items():
        if network.config.get(name, usual) != usual:
            value = one_line(network.config[name], 60)
            raise CheckpointError(f"{file}: a control with {name} = {value} is not supported")
    halvings = len(network.config.conditioning_embedding_out_channels) - 1
    if 2**halvings != factor:
        raise CheckpointError(
            f"{file}: it makes control pictures {2**halvings} times smaller, this checkpoint needs "
            f"{factor} times: this control was made for another model"
        )
    return fill(network, weights_file(folder, "diffusion_pytorch_model"), dtype)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _kind(index: Path) -> str:
    """Only what this package can draw with goes on; the rest is named for what it is."""
    kind = read_json(index).get("_class_name")
    if not isinstance(kind, str) or kind not in PIPELINES:
        yet = " yet" if isinstance(kind, str) and kind.startswith("StableDiffusion") else ""
        raise CheckpointError(
            f"{index}: a checkpoint of the kind {one_line(kind, 60)} is not supported"
            f"{yet}: {' and '.join(PIPELINES)} are"
        )
    return kind


def _check_fit(folder: Path, unet: Any, text: TextEncoders, decoders: dict[str, Decoder]) -> None:
    """Parts that were never made for each other."""
    problem = ""
    width = sum(network.config.hidden_size for network in text.networks.values())
    if unet.config.cross_attention_dim != width:
        problem = (
            f"the U-Net reads text {unet.config.cross_attention_dim} wide, "
            f"the text encoder{'s write' if len(text.networks) > 1 else ' writes'} {width}"
        )
    if len({reader.length for reader in text.readers}) > 1:
        problem = "the tokenizers have windows of different lengths"
    if not isinstance(unet.config.addition_time_embed_dim, int | None):
        problem = "addition_time_embed_dim of the U-Net is not a whole number"
    elif unet.config.addition_embed_type == "text_time":
        pooled = text.networks["text_encoder_2"].config.projection_dim
        wide = pooled + 6 * (unet.config.addition_time_embed_dim or 0)
        if unet.config.projection_class_embeddings_input_dim != wide:
            problem = (
                f"the U-Net reads {unet.config.projection_class_embeddings_input_dim} numbers of "
                f"the whole prompt and the size, there are {wide}"
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
