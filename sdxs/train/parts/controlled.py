"""U-Nets under a ControlNet, as the stages call them, and the two sizes of one.

The full one copies the multi-step U-Net's encoder (ControlNet, arXiv 2302.05543, section 3.1); the
slim one is what is left of it when block removal has taken the middle, every second block and the
attention (paper, section 3.1, "ControlNet"; of attention the paper removes the largest alone): it
need not read, the U-Net does.
"""

from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from sdxs.checkpoint.networks import load_control
from sdxs.conditions import CONTROLS
from sdxs.model.controls import build_control
from sdxs.train.parts.models import FACTOR
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE

COPIED = ("conv_in", "time_embedding", "add_embedding", "down_blocks", "mid_block")
EMBEDDING = (16, 32, 64, 96)  # channels of what makes a control image 8 times smaller


class Controlled(nn.Module):
    """A U-Net that is given a control's residuals of control images (B, 3, H, W) in [0, 1].

    Of a batch of 2 B, as guidance has it, the rows without text have none either: so guidance
    strengthens the control along with the text (arXiv 2302.05543, section 3.4).
    """

    def __init__(self, unet: nn.Module, control: nn.Module, images: Tensor) -> None:
        super().__init__()
        self.unet, self.control, self.images = unet, control, images

    def forward(
        self, x: Tensor, t: Tensor, states: Tensor,
        added_cond_kwargs: dict[str, Tensor] | None = None, return_dict: bool = False,
    ) -> tuple[Tensor]:  # fmt: skip
        count, added = len(self.images), added_cond_kwargs
        down, middle = self.control(
            x[:count], t[:count] if t.ndim else t, encoder_hidden_states=states[:count],
            controlnet_cond=self.images, return_dict=False,
            added_cond_kwargs=added and {name: part[:count] for name, part in added.items()},
        )  # fmt: skip
        rows = (0, 0, 0, 0, 0, 0, 0, len(x) - count)  # without text, at the end
        return self.unet(
            x, t, states, added_cond_kwargs=added, return_dict=return_dict,
            down_block_additional_residuals=[F.pad(part, rows) for part in down],
            mid_block_additional_residual=None if middle is None else F.pad(middle, rows),
        )[:1]  # fmt: skip


def build_for(unet: UNet2DConditionModel, **others: Any) -> ControlNetModel:
    """A control of a U-Net's shapes; `others` are settings that differ."""
    same = (
        "in_channels", "down_block_types", "mid_block_type", "block_out_channels",
        "layers_per_block", "cross_attention_dim", "attention_head_dim", "norm_num_groups",
        "use_linear_projection", "transformer_layers_per_block", "addition_embed_type",
        "addition_time_embed_dim", "projection_class_embeddings_input_dim",
    )  # fmt: skip
    config = {name: unet.config[name] for name in same}
    return build_control({**config, "conditioning_embedding_out_channels": EMBEDDING, **others})


def read_control(run: Path) -> ControlNetModel:
    """What a stage left in its folder."""
    folder = run / "control"
    control = build_control(ControlNetModel.load_config(folder))
    control.load_state_dict(load_file(folder / "diffusion_pytorch_model.safetensors"))
    return control


def kind_of(place: Path, unet: nn.Module, said: str | None = None) -> str:
    """What a control follows: as its stage recorded it, or, of somebody else's, as is `said`.

    Raises TrainingError where neither is there, where they differ, and for one of another U-Net.
    """
    if not stage.ours(place):
        if said is None:
            raise loop.TrainingError(
                f"{place} does not say what it follows: give --condition, {' or '.join(CONTROLS)}"
            )
        return said
    made = stage.read(place)
    if made["steers"] != loop.fingerprint(unet):
        raise loop.TrainingError(
            f"the control of {place} was made for another model: give that one"
        )
    if said not in (None, made["control"]):
        raise loop.TrainingError(f"the control of {place} follows {made['control']}, not {said}")
    return made["control"]


def read_full(place: Path, unet: UNet2DConditionModel) -> ControlNetModel:
    """A control of a U-Net's own size, as a stage left it or of somebody else's, which is checked
    against the U-Net. Raises CheckpointError."""
    if stage.ours(place):
        return read_control(place)
    return load_control(place, torch.float32, unet, FACTOR).requires_grad_(True)


def full_control(unet: UNet2DConditionModel) -> ControlNetModel:
    """A control that begins as the U-Net's own encoder; its residuals are zero as yet."""
    control = build_for(unet)
    for name in COPIED:
        part = getattr(control, name, None)
        if part is not None:
            part.load_state_dict(getattr(unet, name).state_dict())
    return control


def slim_control(unet: UNet2DConditionModel, full: ControlNetModel) -> ControlNetModel:
    """A control for the tiny U-Net with the blocks of the full one that are left. Raises
    TrainingError for a U-Net of another layout."""
    stages, left = len(unet.config["block_out_channels"]), unet.config["layers_per_block"]
    bottom = unet.config["mid_block_type"] and "UNetMidBlock2D"
    slim = build_for(
        unet, down_block_types=("DownBlock2D",) * stages, mid_block_type=bottom,
        conditioning_embedding_out_channels=full.config["conditioning_embedding_out_channels"],
    )  # fmt: skip
    given, layers = full.state_dict(), full.config["layers_per_block"]
    middle = "controlnet_mid_block"  # at the end of a stage that is removed, or of the last one
    removed = full.config["mid_block_type"] is not None and bottom is None
    kept = {"controlnet_down_blocks.0": "controlnet_down_blocks.0"}
    for depth in range(stages):  # of each stage its last resnets and what halves it
        for place in range(left + 1):
            ours = (left + 1) * depth + 1 + place
            theirs = (layers + 1) * depth + 1 + layers - left + place
            kept[f"controlnet_down_blocks.{ours}"] = f"controlnet_down_blocks.{theirs}"
    weights = {}
    for key, own in slim.state_dict().items():
        module, _, rest = key.rpartition(".")
        if (source := given.get(f"{kept.get(module, module)}.{rest}")) is None:
            raise loop.TrainingError(
                f"the student's U-Net is not what block removal leaves of the control's, which has "
                f"no {key}: give a student with its channels"
            )
        lasting = source.shape == own.shape and not (removed and module == middle)
        weights[key] = source.clone() if lasting else own
    slim.load_state_dict(weights)
    return slim


def control_input(images: Tensor) -> Tensor:
    """Control images (B, H, W) in 0..255 as a control reads them: (B, 3, H, W) in [0, 1]."""
    unit: Tensor = (images.float() / 255)[:, None].expand(-1, 3, -1, -1)
    return unit.contiguous(memory_format=torch.channels_last).to(DEVICE)
