"""From settings and weights to one network each: U-Net, text encoder, decoder, ControlNet.

Honours every setting. Classes come from the tables below, never from a string in a file. Knows
nothing of where the files came from, of devices, or of how weights are stored.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, ControlNetModel, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from sdxs.checkpoint.single_file import control_part
from sdxs.checkpoint.tensors import build
from sdxs.checkpoint.weights import Part, fill, part_of
from sdxs.errors import CheckpointError, one_line
from sdxs.model.controls import build_control
from sdxs.model.engine import Decoder

UNETS = {"UNet2DConditionModel": UNet2DConditionModel}
AUTOENCODERS = {"AutoencoderTiny": AutoencoderTiny, "AutoencoderKL": AutoencoderKL}
CONTROLS = {"ControlNetModel": ControlNetModel}
MOST_LATENTS = 256  # along a side of the picture that a checkpoint draws unasked

SHARED = (  # settings that a control has in common with its U-Net
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
# settings of other kinds of U-Net, which ask for inputs that we do not have
UNKNOWN_TO_SD = ("class_embed_type", "encoder_hid_dim", "time_cond_proj_dim")
# AutoencoderKL files of 2022 -> today's names
OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def load_unet(part: Part, dtype: torch.dtype, *, sdxl: bool = False) -> UNet2DConditionModel:
    """A U-Net."""
    file, config = part.file, part.config
    addition, wanted = config.get("addition_embed_type"), "text_time" if sdxl else None
    if addition != wanted:
        raise CheckpointError(
            f"{file}: addition_embed_type is {one_line(addition, 60)}, "
            f"for a checkpoint of this kind it is {wanted}"
        )
    for name in UNKNOWN_TO_SD:
        if config.get(name) is not None:
            raise CheckpointError(
                f"{file}: a U-Net with {name} is not supported yet: leave such a checkpoint to "
                "diffusers"
            )
    sides = config.get("sample_size")
    sides = sides if isinstance(sides, list) else [sides, sides]
    if len(sides) != 2 or not all(type(side) is int and 0 < side <= MOST_LATENTS for side in sides):
        raise CheckpointError(f"{file} needs a sample_size, such as 64, of at most {MOST_LATENTS}")
    unet = build(lambda: UNet2DConditionModel.from_config(config), file)
    return fill(unet, part.weights, dtype)


def load_text_encoder(
    part: Part, dtype: torch.dtype, cls: type = CLIPTextModel
) -> CLIPTextModel | CLIPTextModelWithProjection:
    """A text encoder."""

    def today(key: str) -> str | None:
        if key.endswith("embeddings.position_ids") or key == "logit_scale":
            return None
        if cls is not CLIPTextModel:
            return key
        # files written before transformers 5; a projection that nobody asks for
        return None if key == "text_projection.weight" else key.removeprefix("text_model.")

    file, config = part.file, part.config
    encoder = build(lambda: cls(CLIPTextConfig.from_dict(config)), file)
    if type(encoder.config.eos_token_id) is not int:
        raise CheckpointError(f"{file} needs an eos_token_id, a whole number")
    positions = torch.arange(encoder.config.max_position_embeddings).expand((1, -1))
    body = encoder if cls is CLIPTextModel else encoder.text_model
    body.embeddings.position_ids = positions  # a buffer that no file holds
    return fill(encoder, part.weights, dtype, today)


class Autoencoder(NamedTuple):
    """An AutoencoderTiny or an AutoencoderKL, and the scale and shift of its latents: what a U-Net
    sees is (z - shift) scale. factor: pixels per latent, along a side. channels: of the latents."""

    network: Any
    scale: float | Tensor
    shift: float | Tensor
    factor: int
    channels: int


def load_autoencoder(part: Part, dtype: torch.dtype, *, sdxl: bool = False) -> Autoencoder:
    """Both its halves. SDXL's own overflows in float16: with `sdxl`, `force_upcast` makes it
    float32."""

    def today(key: str) -> str | None:
        if ".attentions." in key:
            key = ".".join(OLD_ATTENTION.get(part, part) for part in key.split("."))
        return key

    file, config = part.file, part.config
    cls: Any = AUTOENCODERS[config["_class_name"]]
    if cls is AutoencoderTiny:
        config.pop("block_out_channels", None)  # diffusers writes it, then complains of it
    vae = build(lambda: cls.from_config(config), file)
    facts = vae.config
    scale = facts.get("scaling_factor")
    if type(scale) not in (int, float) or not 0 < scale < math.inf:
        raise CheckpointError(f"{file} needs a scaling_factor, a positive number")
    if sdxl and dtype == torch.float16 and facts.get("force_upcast"):
        dtype = torch.float32
    fill(vae, part.weights, dtype, today)
    if cls is AutoencoderTiny:
        factor = facts.upsampling_scaling_factor ** (len(facts.num_decoder_blocks) - 1)
    else:
        factor = 2 ** (len(facts.block_out_channels) - 1)
    shift: float | Tensor = 0.0  # diffusers' pipelines of these kinds shift nothing
    if sdxl and facts.get("latents_mean") and facts.get("latents_std"):
        scale, shift = _statistics(facts, file)
    return Autoencoder(vae, scale, shift, factor, facts.latent_channels)


def load_decoder(part: Part, dtype: torch.dtype, *, sdxl: bool = False) -> Decoder:
    """The decoding half of `load_autoencoder`."""
    vae, scale, shift, factor, channels = load_autoencoder(part, dtype, sdxl=sdxl)
    vae.encoder = None  # only ever asked to decode
    return Decoder(vae, scale, shift, vae.dtype, factor, channels)


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


def load_control(
    place: Path, dtype: torch.dtype, unet: UNet2DConditionModel, factor: int
) -> ControlNetModel:
    """The ControlNet of a folder or a file, checked against a U-Net; factor: pixels per latent, of
    a side."""
    if place.is_file():
        part = control_part(place, unet.config)
    else:
        part = part_of(place, CONTROLS, "diffusion_pytorch_model")
    file, config = part.file, part.config
    _check_shared(config, unet, file)
    network = build(lambda: build_control(config), file)
    _check_shared(network.config, unet, file)
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
    return fill(network, part.weights, dtype)


def _check_shared(config: Mapping[str, Any], unet: UNet2DConditionModel, file: Path) -> None:
    """What a control's settings say, or are when they say nothing."""
    for name in SHARED:
        own, wanted = config.get(name, unet.config[name]), unet.config[name]
        if _plain(own) != _plain(wanted):
            raise CheckpointError(
                f"{file}: {name} is {one_line(own, 60)}, the checkpoint's U-Net has {wanted}: "
                "this control was made for another model"
            )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
