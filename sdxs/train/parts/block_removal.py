"""Block removal (paper, section 3.1, eq. 6 to 8): what of a large U-Net is left in the tiny one.

Which of its weights each of the tiny one's begins as, and which features of the two are compared.
"""

import re
from collections.abc import Mapping, Sequence

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from torch.nn import functional as F

from sdxs.train.parts.features import Tap

FEATURES = {  # the student's modules -> the teacher's, whose outputs FKD compares
    "down_blocks.0": "down_blocks.0",
    "down_blocks.1": "down_blocks.1",
    "down_blocks.2.attentions.0.proj_out": "down_blocks.2.attentions.1.proj_out",
    "up_blocks.0": "up_blocks.1",
    "up_blocks.1": "up_blocks.2",
    "up_blocks.2": "up_blocks.3",
}
KEPT = ((0, 2), (0, 2), (0, 2))


def source(key: str, kept: Sequence[tuple[int, int]] = KEPT) -> str:
    """Where in the teacher a student's weight starts.

    kept: of the three resnets and attentions of the teacher's three upper up blocks, the student's.
    """
    found = re.fullmatch(r"up_blocks\.(\d)\.(resnets|attentions)\.(\d)\.(.+)", key)
    if found:
        block, kind, place, rest = int(found[1]), found[2], int(found[3]), found[4]
        return f"up_blocks.{block + 1}.{kind}.{kept[block][place]}.{rest}"
    found = re.fullmatch(r"up_blocks\.(\d)\.(upsamplers.+)", key)
    return f"up_blocks.{int(found[1]) + 1}.{found[2]}" if found else key


def removed(teacher: UNet2DConditionModel, student: UNet2DConditionModel) -> None:
    """Give the student the teacher's blocks that are left; shapes must agree."""
    given = teacher.state_dict()
    student.load_state_dict({key: given[source(key)].clone() for key in student.state_dict()})


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
