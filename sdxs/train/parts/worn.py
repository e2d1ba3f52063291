"""Styles of a multi-step model: of a stage or somebody else's, and what a smaller one begins with.

Knows nothing of how a model wears one, that is `solver`, nor of what is learnt from it.
"""

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import nn

from sdxs.checkpoint.lora_file import read_style
from sdxs.model.styles import LowRank, Style
from sdxs.train.parts.block_removal import removal
from sdxs.train.parts.lora import NAME, fingerprint, layers_of, named
from sdxs.train.run import loop, stage

UNET = "unet"
SHAPE = ("down_block_types", "mid_block_type", "block_out_channels", "layers_per_block")


@dataclass(frozen=True)
class Worn:
    """A style of a multi-step model, as strong as it is worn.

    unet: what it adds to the U-Net; heard: to text encoders, by the names of their folders. below:
    share of T from which down it was learnt. ours: whether a stage learnt it, from a few pictures.
    """

    unet: Mapping[str, LowRank]
    heard: Style
    fingerprint: str
    below: float
    ours: bool


def open_style(place: Path, networks: Mapping[str, nn.Module], scale: float = 1.0) -> Worn:
    """The style of a run, or a file or folder of somebody else's, for a multi-step model.

    networks: its U-Net and text encoders, by the names of their folders. Raises TrainingError for
    one of a run that was made for another model, and for one without a look; CheckpointError for
    what does not fit.
    """
    ours, below = stage.ours(place), 1.0
    if ours:
        below, place = learnt_below(place, networks[UNET]), place / NAME
    found = read_style(place, networks)
    if UNET not in found:
        raise loop.TrainingError(f"{place} adds nothing to the U-Net: it holds no look to learn")
    mark = fingerprint(place) if ours else loop.fingerprint_of(named(found))
    scaled = {
        network: {
            layer: dataclasses.replace(each, up=scale * each.up) for layer, each in parts.items()
        }
        for network, parts in found.items()
    }
    unet = scaled.pop(UNET)
    return Worn(unet, scaled, mark if scale == 1 else f"{mark} at {scale:g}", below, ours)


def learnt_below(style: Path, unet: nn.Module) -> float:
    """Share of T from which down the style of a run was learnt, by this multi-step model's U-Net.

    Raises TrainingError if it was another one's.
    """
    facts = stage.read(style)
    if facts.get("teacher") != loop.fingerprint(unet):
        raise loop.TrainingError(f"{style} was made for another multi-step model: name its own")
    return float(facts.get("below", 1.0))


def alike(unet: UNet2DConditionModel, teacher: UNet2DConditionModel) -> bool:
    """Whether they have the same layers."""
    return _shape(unet.config) == _shape(teacher.config)


def _shape(config: Mapping[str, Any]) -> list[Any]:
    return [
        list(config[name]) if isinstance(config[name], tuple) else config[name] for name in SHAPE
    ]


def origin(
    unet: UNet2DConditionModel, teacher: UNet2DConditionModel
) -> Callable[[str], str] | None:
    """Where in the multi-step U-Net a weight of a one-step one has its like; None if it has none:
    neither are they alike, nor is it what block removal leaves."""
    if alike(unet, teacher):
        return lambda key: key
    with suppress(loop.TrainingError):
        left = removal(teacher.config)
        if _shape(left.config) == _shape(unet.config):
            return left.source
    return None


@torch.no_grad()
def begin_near(unet: UNet2DConditionModel, worn: Worn, teacher: UNet2DConditionModel) -> bool:
    """Begin a one-step U-Net's LoRA as the multi-step model's style, wherever layers answer to each
    other; whether any does.

    Of an addition what the LoRA's rank holds: its largest singular values (Eckart and Young).
    """
    any_does = False
    if (source := origin(unet, teacher)) is None:
        return any_does
    for name, part in layers_of(unet).items():
        given = worn.unet.get(source(f"{name}.weight").removesuffix(".weight"))
        shape = part.get_base_layer().weight.shape
        if given is None or (len(given.up), *given.down.shape[1:]) != shape:
            continue
        down, up = part.lora_A[NAME].weight, part.lora_B[NAME].weight
        (q, r), (p, s) = (
            torch.linalg.qr(matrix.to(up))
            for matrix in (given.up.flatten(1), given.down.flatten(1).T)
        )
        u, values, v = torch.linalg.svd(r @ s.T, full_matrices=False)
        rank = min(len(down), len(values))
        root = values[:rank].sqrt()
        up[:, :rank] = (q @ u[:, :rank] * root).view(up[:, :rank].shape)
        down[:rank] = (p @ v[:rank].T * root).T.reshape(down[:rank].shape)
        any_does = True
    return any_does
