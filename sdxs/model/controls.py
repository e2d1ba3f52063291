"""Controls: ControlNets (arXiv 2302.05543) that steer a U-Net by a control picture, row by row.

A control sees the rows that ask for it and nothing else; what it finds is scaled and added to the
U-Net's skip connections. Knows nothing of names, files or of how control pictures are made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import ControlNetModel
from PIL import Image
from torch import Tensor

from sdxs.errors import InputError
from sdxs.picture import smaller, taken, to_rgb


def build_control(config: Mapping[str, Any]) -> ControlNetModel:
    """A ControlNet by its config, the weights as torch's chance has them.

    diffusers builds none without a middle block, which the tiny U-Net does not have either (paper,
    section 3.1): with `mid_block_type` None what comes out of the last stage goes on as it is.
    """
    if config.get("mid_block_type", "") is not None:
        return ControlNetModel.from_config(config)
    network = ControlNetModel.from_config({**config, "mid_block_type": "UNetMidBlock2D"})
    network.mid_block = None
    network.register_to_config(mid_block_type=None)
    return network


@dataclass(frozen=True)
class Steering:
    """One control at work on some rows of a batch.

    rows (R,) indices; picture (R, 3, H, W) in [0, 1]; strengths (R,).
    """

    network: Any
    rows: Tensor
    picture: Tensor
    strengths: Tensor


def residuals(
    steerings: Sequence[Steering],
    x: Tensor,
    t: Tensor,
    states: Tensor,
    added: Mapping[str, Tensor] | None,
) -> dict[str, Any]:
    """What a U-Net call takes beside its input: the sum of the controls, nothing without them.

    x (B, C, h, w), states (B, L, D), `added` the SDXL conditions (B, …), as the U-Net gets them.
    """
    total: list[Tensor] = []
    for steering in steerings:
        rows = steering.rows
        down, mid = steering.network(
            x[rows],
            t,
            encoder_hidden_states=states[rows],
            controlnet_cond=steering.picture,
            added_cond_kwargs=added and {name: value[rows] for name, value in added.items()},
            return_dict=False,
        )
        scaled = [part * steering.strengths.to(part).view(-1, 1, 1, 1) for part in (*down, mid)]
        total = total or [part.new_zeros(len(x), *part.shape[1:]) for part in scaled]
        total = [sum_.index_add(0, rows, part) for sum_, part in zip(total, scaled, strict=True)]
    if not total:
        return {}
    return {
        "down_block_additional_residuals": total[:-1],
        "mid_block_additional_residual": total[-1],
    }


def to_control(picture: Any, size: tuple[int, int]) -> Tensor:
    """A control picture as a ControlNet reads it: (3, H, W) float32 in [0, 1], of (width, height).

    A picture of another size is stretched to it. Raises InputError for what is no Pillow picture,
    or for a damaged, animated or far too large one.
    """
    if not isinstance(picture, Image.Image):
        raise InputError(f"control_image must be a Pillow picture, not {type(picture).__name__}")
    picture = to_rgb(smaller(taken(picture), 4 * max(size)), "black")
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(picture, dtype=np.float32) / 255).permute(2, 0, 1)
