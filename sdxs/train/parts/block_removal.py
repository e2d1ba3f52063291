"""Block removal (paper, section 3.1, eq. 6 to 8): what of a large U-Net is left in the tiny one.

Its settings, which of the large one's weights each of its own begins as, and which features of the
two are compared. Of Stable Diffusion's four stages the lowest, the middle, one of two blocks in
every stage and the attention of the highest go (SDXS-512); of SDXL's three the attention of the
middle and most transformer layers (Segmind Vega, arXiv 2401.02677, which SDXS-1024 begins as).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from torch.nn import functional as F

from sdxs.train.parts.features import Tap
from sdxs.train.run.loop import TrainingError

FEATURES = {  # the student's modules -> the teacher's, whose outputs FKD compares
    "down_blocks.0": "down_blocks.0",
    "down_blocks.1": "down_blocks.1",
    "down_blocks.2.attentions.0.proj_out": "down_blocks.2.attentions.1.proj_out",
    "up_blocks.0": "up_blocks.1",
    "up_blocks.1": "up_blocks.2",
    "up_blocks.2": "up_blocks.3",
}
FEATURES_SDXL = {
    name: name for name in (*(f"{way}_blocks.{i}" for way in ("down", "up") for i in range(3)),
                            "mid_block")
}  # fmt: skip
KEPT = ((0, 2), (0, 2), (0, 2))
CROSS_DOWN, CROSS_UP = "CrossAttnDownBlock2D", "CrossAttnUpBlock2D"
SD = {"down_block_types": [CROSS_DOWN] * 3 + ["DownBlock2D"], "layers_per_block": 2}
SDXL = {"down_block_types": ["DownBlock2D"] + [CROSS_DOWN] * 2, "layers_per_block": 2}
MIDDLE = "UNetMidBlock2DCrossAttn"


@dataclass(frozen=True)
class Removal:
    """config: of what is left. features: its modules and the large one's, as in FEATURES. source:
    where in the large one a weight of it starts."""

    config: Mapping[str, Any]
    features: Mapping[str, str]
    source: Callable[[str], str]

    def left(self, teacher: UNet2DConditionModel) -> UNet2DConditionModel:
        """The tiny U-Net, which begins as the blocks that are left."""
        student: UNet2DConditionModel = UNet2DConditionModel.from_config(dict(self.config))
        given = teacher.state_dict()
        weights = {key: given[self.source(key)].clone() for key in student.state_dict()}
        student.load_state_dict(weights)
        return student


def removal(config: Mapping[str, Any]) -> Removal:
    """Of a U-Net with these settings. Raises TrainingError where there is nothing to remove."""
    config = {name: value for name, value in config.items() if not name.startswith("_")}
    if _is(config, SD):
        heads = config["attention_head_dim"]
        left: dict[str, Any] = {
            "block_out_channels": list(config["block_out_channels"][:3]),
            "attention_head_dim": heads if isinstance(heads, int) else list(heads[:3]),
            "down_block_types": ["DownBlock2D", CROSS_DOWN, CROSS_DOWN],
            "up_block_types": [CROSS_UP, CROSS_UP, "UpBlock2D"],
            "mid_block_type": None,
            "layers_per_block": 1,
        }
        if isinstance(config["only_cross_attention"], list | tuple):
            left["only_cross_attention"] = list(config["only_cross_attention"][:3])
        return Removal({**config, **left}, FEATURES, source)
    if _is(config, SDXL):
        left = {"mid_block_type": "UNetMidBlock2D", "transformer_layers_per_block": [1, 1, 2]}
        return Removal({**config, **left}, FEATURES_SDXL, lambda key: key)
    raise TrainingError(
        "it has no blocks to remove, since it is in neither Stable Diffusion's layout nor SDXL's: "
        "use it as it is"
    )


def _is(config: Mapping[str, Any], layout: Mapping[str, Any]) -> bool:
    found = {name: config[name] for name in layout}
    found["down_block_types"] = list(found["down_block_types"])
    return found == dict(layout) and config["mid_block_type"] == MIDDLE


def source(key: str, kept: Sequence[tuple[int, int]] = KEPT) -> str:
    """Where in Stable Diffusion's U-Net a weight of SDXS-512's starts.

    kept: of the three resnets and attentions of the teacher's three upper up blocks, the student's.
    """
    found = re.fullmatch(r"up_blocks\.(\d)\.(resnets|attentions)\.(\d)\.(.+)", key)
    if found:
        block, kind, place, rest = int(found[1]), found[2], int(found[3]), found[4]
        return f"up_blocks.{block + 1}.{kind}.{kept[block][place]}.{rest}"
    found = re.fullmatch(r"up_blocks\.(\d)\.(upsamplers.+)", key)
    return f"up_blocks.{int(found[1]) + 1}.{found[2]}" if found else key


def feature_loss(ours: Tap, theirs: Tap, names: Mapping[str, str] = FEATURES) -> Tensor:
    """Eq. 7 as a mean over layers, each divided by the variance of the teacher's.

    names: the student's modules and the teacher's that answer to them.
    """
    parts = []
    for mine, other in names.items():
        wanted = theirs.features[other].float()
        error = F.mse_loss(ours.features[mine].float(), wanted)
        parts.append(error / wanted.var().clamp(min=1e-6))
    return torch.stack(parts).mean()
