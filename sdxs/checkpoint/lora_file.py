"""From the file of a LoRA to a `Style` for the networks of a checkpoint, checked layer by layer.

Whichever way it was saved (PEFT, diffusers, kohya). Knows nothing of how styles are applied, that
is `sdxs.model.styles`, nor of names or folders of checkpoints.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sdxs.checkpoint.files import PEFT_CONFIG, STYLE_FILES
from sdxs.checkpoint.lora_names import layer_names, place
from sdxs.checkpoint.lora_settings import (
    LARGEST,
    diffusers_settings,
    patterned,
    peft_settings,
    scale_of,
)
from sdxs.checkpoint.tensors import read_pickle, read_tensors
from sdxs.errors import CheckpointError
from sdxs.model.styles import LowRank, Style

PEFT_STEM = "adapter_model"
KOHYA = ("lora_unet_", "lora_te")  # keys of files in which every layer has its alpha
FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}


def read_style(path: Path, networks: Mapping[str, nn.Module]) -> Style:
    """A style from a file, or a folder that holds one, for the networks it is meant for.

    `networks`: "unet", "text_encoder" and, where there is one, "text_encoder_2". Every layer that
    the file names must be there and fit. Raises CheckpointError, one line with file and remedy.
    """
    config: dict[str, Any] = {}
    if not path.exists():
        raise CheckpointError(f"there is no style at {path}")
    if path.is_dir():
        names = [path / name for name in STYLE_FILES if (path / name).is_file()]
        names = names or sorted(path.glob("*.safetensors"))
        if not names and (path / "style").is_dir():
            raise CheckpointError(f"{path} holds no style itself: name {path / 'style'}")
        if not names:
            raise CheckpointError(
                f"{path} holds no style: one of {', '.join(STYLE_FILES)} is needed"
            )
        if len(names) > 1 and names[0].name not in STYLE_FILES:
            raise CheckpointError(f"{path} holds {len(names)} files: name the one that is meant")
        path = names[0]
    if path.suffix == ".safetensors":
        tensors, notes = read_tensors(path)
        config = diffusers_settings(notes, path)
    elif path.suffix == ".bin":
        tensors = read_pickle(path)
    else:
        raise CheckpointError(f"{path} is no style: a .safetensors file is, or a PEFT folder")

    renamed = not config and any(key.startswith("base_model.model.") for key in tensors)
    if path.stem == PEFT_STEM or renamed:
        config = peft_settings(path.parent / PEFT_CONFIG)

    where = {name: layer_names(network) for name, network in networks.items()}
    parts: dict[tuple[str, str], dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        network, layer, end = place(key, where, path)
        if end in parts.setdefault((network, layer), {}):
            raise CheckpointError(f"{path}: {key} is there twice in different words")
        parts[network, layer][end] = tensor
    if not parts:
        raise CheckpointError(f"{path} is empty: fetch the style again")
    found = [
        (network, layer, _matrices(matrices, networks[network].get_submodule(layer), layer, path))
        for (network, layer), matrices in parts.items()
    ]
    own = any(key.startswith(KOHYA) for key in tensors) or any("alpha" in p for p in parts.values())
    style: Style = {}
    for network, layer, (down, up, alpha) in found:  # all fit: only now are numbers copied
        rank = len(down)
        if own and alpha is None:
            raise CheckpointError(
                f"{path}: {layer} has no alpha, which says how strong it is: fetch it again"
            )
        settings = config.get(network, {})
        if (stated := patterned(settings, "rank_pattern", layer, settings.get("r", rank))) != rank:
            raise CheckpointError(
                f"{path}: {layer} has the rank {rank}, its settings say {stated}: fetch it again"
            )
        scale = scale_of(settings, layer, rank) if alpha is None else alpha / rank
        addition = LowRank(down.to(torch.float32, copy=True), up.float() * scale)
        if max(addition.down.abs().max(), addition.up.abs().max()) >= LARGEST:
            raise CheckpointError(f"{path}: {layer} holds numbers that are too large")
        style.setdefault(network, {})[layer] = addition
    return style


def _matrices(
    parts: Mapping[str, Tensor], module: Any, layer: str, path: Path
) -> tuple[Tensor, Tensor, float | None]:
    """A layer's matrices as `LowRank` has them, not yet scaled, and its alpha if it has its own."""
    if not {"down", "up"} <= parts.keys():
        raise CheckpointError(f"{path}: {layer} has only one of its two matrices: fetch it again")
    down, up = parts["down"], parts["up"]
    if not {down.dtype, up.dtype} <= FLOATS:
        raise CheckpointError(f"{path}: {layer} holds no floating point numbers that are supported")
    rank = down.shape[0] if down.ndim else 0
    convolution = isinstance(module, nn.Conv2d)
    if convolution and down.ndim == up.ndim == 2:  # 1 x 1, saved as a matrix
        down, up = down[..., None, None], up[..., None, None]
    if not convolution and down.shape[2:] == up.shape[2:] == (1, 1):
        down, up = down[..., 0, 0], up[..., 0, 0]
    shape = module.weight.shape
    wanted_down = (rank, *shape[1:])
    wanted_up = (shape[0], rank, *[1] * (len(shape) - 2))
    if rank and up.ndim > 1 and up.shape[1] != rank:
        raise CheckpointError(
            f"{path}: {layer} has matrices of the ranks {rank} and {up.shape[1]}: fetch it again"
        )
    if not rank or tuple(down.shape) != wanted_down or tuple(up.shape) != wanted_up:
        raise CheckpointError(
            f"{path}: {layer} has the shapes {tuple(down.shape)} and {tuple(up.shape)}, this "
            f"model's layer is {tuple(shape)}: the style was made for another model"
        )
    for matrix in (down, up):
        if not bool(matrix.abs().max() < LARGEST):
            raise CheckpointError(f"{path}: {layer} holds numbers that are not finite or too large")
    alpha = parts.get("alpha")
    if alpha is None:
        return down, up, None
    if alpha.numel() != 1 or alpha.is_complex() or not math.isfinite(float(alpha)):
        raise CheckpointError(f"{path}: alpha of {layer} is not a number")
    return down, up, float(alpha)
