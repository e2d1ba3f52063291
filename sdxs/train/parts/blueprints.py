"""Networks without weights, on the meta device, from the settings in a folder; such folders.

What a stage will leave is written as its settings alone, so that a recipe's stages can be gone
through without training one. A Hub id of `PUBLISHED` stands for the shape that was published under
it. Knows nothing of stages, nor of what they do with networks.
"""

import functools
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    DepthAnythingConfig,
)

from sdxs.bench import architectures
from sdxs.checkpoint.depth import build_depth
from sdxs.checkpoint.networks import AUTOENCODERS, CONTROLS, UNETS
from sdxs.model.controls import build_control
from sdxs.train.parts.controlled import build_for
from sdxs.train.parts.lora import TARGETS, lora
from sdxs.train.run.loop import TrainingError

INDEX = "model_index.json"
TEXT: dict[str, Any] = {
    "text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection,
}  # fmt: skip
SD_15, SD_21 = "sdxs-512", "sdxs-512-0.9"  # whose text encoders they are
PUBLISHED = {  # Hub id -> its U-Net and its text encoders among `architectures`
    "Lykon/dreamshaper-8": ("sd-1.5", SD_15),
    "Lykon/dreamshaper-8-lcm": ("sd-1.5", SD_15),
    "stable-diffusion-v1-5/stable-diffusion-v1-5": ("sd-1.5", SD_15),
    "stabilityai/sd-turbo": ("sd-2.1-base", SD_21),
    "stabilityai/stable-diffusion-2-1-base": ("sd-2.1-base", SD_21),
    "stabilityai/stable-diffusion-xl-base-1.0": ("sdxl-base", "sdxs-1024"),
    "segmind/Segmind-Vega": ("sdxs-1024", "sdxs-1024"),
    "IDKiro/sdxs-512-dreamshaper": ("sdxs-512", SD_15),
    "IDKiro/sdxs-512-0.9": ("sdxs-512-0.9", SD_21),
}
CONTROLNETS = {  # likewise -> the U-Net that it is of
    f"lllyasviel/control_{name}": "sd-1.5"
    for name in ("v11p_sd15_scribble", "v11p_sd15_canny", "v11f1p_sd15_depth")
}
STEM = (16, 32, 96, 256)  # channels of what reads their control image
SIGHTS = {"depth-anything/Depth-Anything-V2-Small-hf": "Depth Anything V2 Small"}


def published(name: str) -> str | None:
    """The kind of a Hub id, a revision aside; None for what is unknown."""
    known = {**{name: found for name, (found, _) in PUBLISHED.items()}, **SIGHTS}
    known |= {name: f"a ControlNet of {unet}" for name, unet in CONTROLNETS.items()}
    return known.get(name.partition("@")[0])


def write(name: str, folder: Path) -> Path:
    """The settings of what was published under a Hub id, as its folder."""
    name, configs = name.partition("@")[0], {**architectures.UNETS, **architectures.ORIGINALS}
    if name in CONTROLNETS:
        unet = made(diffusers.UNet2DConditionModel, configs[CONTROLNETS[name]])
        with torch.device("meta"):
            build_for(unet, conditioning_embedding_out_channels=STEM).save_config(folder)
        return folder
    if name in SIGHTS:
        DepthAnythingConfig().save_pretrained(folder)  # the small one
        return folder
    shape, words = PUBLISHED[name]
    put(folder, "unet", made(diffusers.UNet2DConditionModel, configs[shape]))
    for part, encoder in zip(TEXT, architectures.TEXT_ENCODERS[words], strict=False):
        CLIPTextConfig(**encoder).save_pretrained(folder / part)
    tiny = shape in ("sdxs-512", "sdxs-512-0.9")
    vae = diffusers.AutoencoderTiny if tiny else diffusers.AutoencoderKL
    put(folder, "vae", made(vae, {} if tiny else architectures.LARGE_DECODER))
    kind = "StableDiffusionXLPipeline" if words == "sdxs-1024" else "StableDiffusionPipeline"
    (folder / INDEX).write_text(json.dumps({"_class_name": kind}))
    return folder


def put(folder: Path, part: str, network: Any) -> None:
    """The settings of one of diffusers' networks, as its own folder of a checkpoint."""
    network.save_config(folder / part)


def put_words(beside: Path, folder: Path) -> None:
    """Those of the text encoders that lie in another folder."""
    for part in TEXT:
        if (beside / part).is_dir():
            (folder / part).mkdir(parents=True, exist_ok=True)
            shutil.copy(beside / part / "config.json", folder / part)


def unet(folder: Path) -> Any:
    """The U-Net of a folder; the same one of the same settings, to be left as it is."""
    return _known(json.dumps(settings(folder / "unet"), sort_keys=True))


@functools.lru_cache(8)
def _known(config: str) -> Any:
    return made(diffusers.UNet2DConditionModel, json.loads(config))


def autoencoder(folder: Path) -> Any:
    """Of either kind."""
    return read(folder / "vae")


def control(folder: Path) -> Any:
    """A ControlNet, of a stage's or its own folder."""
    return read(folder if (folder / "config.json").is_file() else folder / "control")


def sight(folder: Path) -> nn.Module:
    """What sees depth, likewise."""
    with torch.device("meta"):
        own = folder / "depth"
        return build_depth(own if own.is_dir() else folder)


def read(part: Path) -> Any:
    """One of diffusers' networks, of the kind that its settings state."""
    config = settings(part)
    if (name := config["_class_name"]) in CONTROLS:
        with torch.device("meta"):
            return build_control(config)
    if name == "AutoencoderTiny":  # diffusers writes it, then complains of it
        config.pop("block_out_channels", None)
    return made({**UNETS, **AUTOENCODERS}[name], config)


def text_encoders(folder: Path) -> dict[str, Any]:
    """By the names of their folders."""
    with torch.device("meta"):
        return {
            part: kind(CLIPTextConfig.from_dict(settings(folder / part)))
            for part, kind in TEXT.items() if (folder / part).is_dir()
        }  # fmt: skip


def width_of_text(folder: Path) -> int:
    """Of what is said of a prompt as a whole (`TextEncoders.width`)."""
    *_, last = text_encoders(folder).values()
    two = (folder / "text_encoder_2").is_dir()
    return int(last.config.projection_dim if two else last.config.hidden_size)


def made(kind: Any, config: Mapping[str, Any]) -> Any:
    """One of diffusers' networks."""
    with torch.device("meta"):
        return kind.from_config(dict(config))


def settings(folder: Path) -> dict[str, Any]:
    """A network's own. Raises TrainingError where there are none, as of a single file."""
    try:
        found: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except OSError:
        raise TrainingError(
            f"{folder} has no config.json: without weights a checkpoint is known by its folder in "
            "diffusers' layout, or by one of the Hub ids " + ", ".join(PUBLISHED)
        ) from None
    return found


@functools.cache
def built(kind: Any, *given: Any) -> nn.Module:
    """A network of ours."""
    with torch.device("meta"):
        network: nn.Module = kind(*given)
        return network


def with_lora(folder: Path, rank: int, targets: str = TARGETS) -> nn.Module:
    """The U-Net of a folder, of which a LoRA learns."""
    network: nn.Module = read(folder / "unet")
    with torch.device("meta"):
        lora(network, rank, targets)
    return network
