"""Controls: ControlNets (arXiv 2302.05543), whose residuals make a U-Net follow a control image.

A control sees the rows of a batch that ask for it and nothing else; its residuals are scaled and
added to the U-Net's skip connections. Knows nothing of files, or of how control images are made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sdxs.arguments import Row
from sdxs.picture import control_pixels

if TYPE_CHECKING:
    from diffusers import ControlNetModel


def build_control(config: Mapping[str, Any]) -> "ControlNetModel":
    """A ControlNet by its config, the weights as torch's chance has them.

    diffusers builds none without a middle block, which the tiny U-Net does not have either (paper,
    section 3.1): with `mid_block_type` None what comes out of the last stage goes on as it is.
    """
    from diffusers import ControlNetModel

    if config.get("mid_block_type", "") is not None:
        return ControlNetModel.from_config(config)
    network = ControlNetModel.from_config({**config, "mid_block_type": "UNetMidBlock2D"})
    network.mid_block = None
    network.register_to_config(mid_block_type=None)
    return network


@dataclass(frozen=True)
class Control:
    """One ControlNet at work on some rows of a batch.

    name: of the ControlNet. rows (R,): their indices, None for all of them. images (R, 3, H, W) in
    [0, 1]: the control images that they follow. scales (R,).
    """

    name: str
    rows: Tensor | None
    images: Tensor
    scales: Tensor


def controls_of(batch: Sequence[Row], size: tuple[int, int]) -> list[Control]:
    """One for each control in use at a scale above 0, for pictures of (width, height) in pixels.
    Raises InputError, see `control_image`."""
    used = {i: row.control for i, row in enumerate(batch) if row.control and row.control_scale}
    out = []
    for name in dict.fromkeys(used.values()):
        rows = [i for i, control in used.items() if control == name]
        images = torch.stack([control_image(batch[i].control_image, size) for i in rows])
        scales = torch.tensor([batch[i].control_scale for i in rows], dtype=torch.float32)
        some = torch.tensor(rows) if len(rows) < len(batch) else None
        out.append(Control(name, some, images, scales))
    return out


def control_image(picture: Any, size: tuple[int, int]) -> Tensor:
    """A picture as a ControlNet reads it: (3, H, W) float32 in [0, 1], of (width, height). Raises
    InputError, see `control_pixels`."""
    return torch.from_numpy(control_pixels(picture, size)).permute(2, 0, 1)


def residuals(
    networks: Mapping[str, Any],
    controls: Sequence[Control],
    x: Tensor,
    t: Tensor,
    states: Tensor,
    added: Mapping[str, Tensor] | None,
) -> dict[str, Any]:
    """The residuals that a U-Net call takes: the sum of the controls', nothing without them.

    networks: the ControlNets by name. x (B, C, h, w), states (B, L, D), `added` the SDXL
    conditions (B, …), all as the U-Net gets them.
    """
    total: list[Tensor] = []
    for control in controls:
        rows = slice(None) if control.rows is None else control.rows.to(x.device)
        down, mid = networks[control.name](
            x[rows],
            t,
            encoder_hidden_states=states[rows],
            controlnet_cond=control.images.to(x.device, x.dtype, memory_format=torch.channels_last),
            added_cond_kwargs=added and {name: value[rows] for name, value in added.items()},
            return_dict=False,
        )
        scaled = [part * control.scales.to(part).view(-1, 1, 1, 1) for part in (*down, mid)]
        if control.rows is not None:
            scaled = [
                part.new_zeros(len(x), *part.shape[1:]).index_add(0, rows, part) for part in scaled
            ]
        total = [a + b for a, b in zip(total, scaled, strict=True)] if total else scaled
    if not total:
        return {}
    return {
        "down_block_additional_residuals": total[:-1],
        "mid_block_additional_residual": total[-1],
    }
