"""From the file of a LoRA to a `Style` for the networks of a checkpoint, checked layer by layer.

Whichever way it was saved (PEFT, diffusers, kohya, OneTrainer, ComfyUI). Knows nothing of how
styles are applied, that is `sdxs.model.styles`, nor of names or folders of checkpoints.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sdxs.checkpoint.files import PEFT_CONFIG, PEFT_FILES, STYLE_FILES, STYLED
from sdxs.checkpoint.lora_kinds import check_kind
from sdxs.checkpoint.lora_names import PEFT_PREFIX, layer_names, place
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
FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}


class Matrices(NamedTuple):
    """A layer's as stored, of as many dimensions as its weight: down (r, in, …), up (out, r, …),
    and perhaps a Tucker core between them, (r, r, k, k)."""

    down: Tensor
    up: Tensor
    core: Tensor | None
    alpha: float | None


def read_style(path: Path, networks: Mapping[str, nn.Module]) -> Style:
    """A style from a file, or a folder that holds one, for the networks it is meant for.

    `networks`: "unet", "text_encoder" and, where there is one, "text_encoder_2". Every layer that
    the file names must be there and fit. Raises CheckpointError, one line with file and remedy.
    """
    if not path.exists():
        raise CheckpointError(f"there is no style at {path}")
    parts = _parts(path) if path.is_dir() else {}
    if not parts:
        return _read(_file(path) if path.is_dir() else path, networks)
    style: Style = {}
    for network, file in parts.items():
        if network not in networks:
            raise CheckpointError(
                f"{file} is for a {network}, which this model has not: "
                "the style was made for another one"
            )
        style |= _read(file, {network: networks[network]})
    return style


def _parts(folder: Path) -> dict[str, Path]:
    """The files of a folder with a PEFT folder for each network: by network."""
    if any((folder / name).is_file() for name in STYLE_FILES):
        return {}
    files = [(part, folder / part / name) for part in STYLED for name in PEFT_FILES]
    return {part: file for part, file in reversed(files) if file.is_file()}


def _file(folder: Path) -> Path:
    """The one style file in a folder."""
    names = [folder / name for name in STYLE_FILES if (folder / name).is_file()]
    names = names or sorted(folder.glob("*.safetensors"))
    if not names and (folder / "style").is_dir():
        raise CheckpointError(f"{folder} holds no style itself: name {folder / 'style'}")
    if not names:
        raise CheckpointError(f"{folder} holds no style: one of {', '.join(STYLE_FILES)} is needed")
    if len(names) > 1 and names[0].name not in STYLE_FILES:
        raise CheckpointError(f"{folder} holds {len(names)} files: name the one that is meant")
    return names[0]


def _read(path: Path, networks: Mapping[str, nn.Module]) -> Style:
    """What a file adds to the networks; PEFT's own files name none, their folder may."""
    usual = next((name for name in networks if name == path.parent.name), next(iter(networks)))
    config: dict[str, Any] = {}
    if path.suffix == ".safetensors":
        tensors, notes = read_tensors(path)
        config = diffusers_settings(notes, path)
    elif path.suffix == ".bin":
        tensors = read_pickle(path)
    else:
        raise CheckpointError(f"{path} is no style: a .safetensors file is, or a PEFT folder")
    if not tensors:
        raise CheckpointError(f"{path} is empty: fetch the style again")
    check_kind(tensors, path)
    renamed = not config and any(key.startswith(PEFT_PREFIX) for key in tensors)
    if path.stem == PEFT_STEM or renamed:
        config = {usual: peft_settings(path.parent / PEFT_CONFIG)}

    where = {name: layer_names(network) for name, network in networks.items()}
    parts: dict[tuple[str, str], dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        network, layer, end = place(key, where, path, usual)
        if end in parts.setdefault((network, layer), {}):
            raise CheckpointError(f"{path}: {key} is there twice in different words")
        parts[network, layer][end] = tensor
    found = [
        (network, layer, _matrices(stored, networks[network].get_submodule(layer), layer, path))
        for (network, layer), stored in parts.items()
    ]
    if len(without := [layer for _, layer, it in found if it.alpha is None]) not in (0, len(found)):
        raise CheckpointError(
            f"{path}: {without[0]} has no alpha, which says how strong it is and which others "
            "have: fetch it again"
        )
    style: Style = {}
    for network, layer, matrices in found:  # all fit: only now are numbers copied
        addition = _addition(matrices, config.get(network, {}), layer, path)
        style.setdefault(network, {})[layer] = addition
    return style


def _matrices(stored: Mapping[str, Tensor], module: Any, layer: str, path: Path) -> Matrices:
    """A layer's matrices, which fit it."""
    if not {"down", "up"} <= stored.keys():
        raise CheckpointError(f"{path}: {layer} has only one of its two matrices: fetch it again")
    numbers = [matrix for end, matrix in stored.items() if end != "alpha"]
    if not {matrix.dtype for matrix in numbers} <= FLOATS:
        raise CheckpointError(f"{path}: {layer} holds no floating point numbers that are supported")
    shape = module.weight.shape
    down, up = (_of_dimensions(stored[end], len(shape)) for end in ("down", "up"))
    rank = down.shape[0] if down.ndim else 0
    if rank and up.ndim > 1 and up.shape[1] != rank:
        raise CheckpointError(
            f"{path}: {layer} has matrices of the ranks {rank} and {up.shape[1]}: fetch it again"
        )
    core = stored.get("mid")
    wanted = [(rank, *shape[1:]), (shape[0], rank, *[1] * (len(shape) - 2))]
    found = [tuple(matrix.shape) for matrix in (down, up)]
    if core is not None:  # the kernel lies in it
        wanted = [(rank, shape[1], 1, 1), wanted[1], (rank, rank, *shape[2:])]
        found.append(tuple(core.shape))
    if not rank or found != wanted:
        raise CheckpointError(
            f"{path}: {layer} has the shapes {' and '.join(map(str, found))}, this "
            f"model's layer is {tuple(shape)}: the style was made for another model"
        )
    for matrix in numbers:
        if not bool(matrix.abs().max() < LARGEST):
            raise CheckpointError(f"{path}: {layer} holds numbers that are not finite or too large")
    alpha = stored.get("alpha")
    if alpha is None:
        return Matrices(down, up, core, None)
    if alpha.numel() != 1 or alpha.is_complex() or not math.isfinite(float(alpha)):
        raise CheckpointError(f"{path}: alpha of {layer} is not a number")
    return Matrices(down, up, core, float(alpha))


def _of_dimensions(matrix: Tensor, count: int) -> Tensor:
    """A 1 x 1 convolution's matrix as one of four dimensions, a linear layer's as one of two."""
    if count == 4 and matrix.ndim == 2:
        return matrix[..., None, None]
    if count == 2 and matrix.shape[2:] == (1, 1):
        return matrix[..., 0, 0]
    return matrix


def _addition(matrices: Matrices, settings: Mapping[str, Any], layer: str, path: Path) -> LowRank:
    """Scaled, in float32."""
    down, up, core, alpha = matrices
    rank = len(down)
    if (stated := patterned(settings, "rank_pattern", layer, settings.get("r", rank))) != rank:
        raise CheckpointError(
            f"{path}: {layer} has the rank {rank}, its settings say {stated}: fetch it again"
        )
    scale = scale_of(settings, layer, rank) if alpha is None else alpha / rank
    down = down.to(torch.float32, copy=True)
    if core is not None:  # core of down, which is one convolution (LyCORIS, arXiv 2309.14859)
        down = torch.einsum("rsij,sc->rcij", core.float(), down[..., 0, 0])
    addition = LowRank(down, up.float() * scale)
    if max(addition.down.abs().max(), addition.up.abs().max()) >= LARGEST:
        raise CheckpointError(f"{path}: {layer} holds numbers that are too large")
    return addition
