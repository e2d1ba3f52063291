"""Controls of others: what is taken for a full one, and what block removal leaves of it."""

from pathlib import Path

import ldm
import numpy as np
import pytest
import torch
from depths import build_dpt
from diffusers import UNet2DConditionModel
from edits import config
from PIL import Image
from tiny import multistep_unet, others_control, tiny_unet

from sdxs import CheckpointError
from sdxs.bench.architectures import ORIGINALS
from sdxs.checkpoint.tensors import build
from sdxs.train.parts import controlled
from sdxs.train.parts.block_removal import removal
from sdxs.train.parts.control_images import depth_network
from sdxs.train.run import loop, stage

WIDE = (16, 32, 96, 256)  # channels of the stem in published ones


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("sd-1.5", 361.28, 45.56),
        pytest.param("sd-2.1-base", 364.23, 45.56, marks=pytest.mark.slow),
        pytest.param("sdxl-base", 1251.01, 125.69, marks=pytest.mark.slow),
    ],
)
def test_of_a_published_one_what_is_left_fits_the_student(
    kind: str, before: float, after: float
) -> None:
    """At full size, in millions: its stem is kept, and it has a sum for each skip connection."""

    def skips(unet: torch.nn.Module) -> list[torch.Size]:
        """Of what its encoder sends on; filled when it is called."""
        found: list[torch.Size] = []
        for part in (unet.conv_in, *unet.down_blocks):
            part.register_forward_hook(
                lambda _, __, said: found.extend(
                    each.shape for each in (said[1] if isinstance(said, tuple) else [said])
                )
            )
        return found

    large = build(lambda: UNet2DConditionModel(**ORIGINALS[kind]), Path())
    small = build(lambda: UNet2DConditionModel.from_config(removal(large.config).config), Path())
    wide = {"conditioning_embedding_out_channels": WIDE}
    full = build(lambda: controlled.build_for(large, **wide), Path())
    slim = build(lambda: controlled.slim_control(small, full), Path())
    counts = [sum(weight.numel() for weight in each.parameters()) / 1e6 for each in (full, slim)]
    assert [round(count, 2) for count in counts] == [before, after]
    given, left = full.state_dict(), slim.state_dict()
    stem = [key for key in left if key.startswith("controlnet_cond_embedding")]
    assert len(stem) == 16 and all(left[key].shape == given[key].shape for key in stem)
    with torch.device("meta"), torch.no_grad():
        x, images = torch.zeros(1, 4, 8, 8), torch.zeros(1, 3, 64, 64)
        told = x, torch.zeros(1), torch.zeros(1, 3, large.config["cross_attention_dim"])
        added = {"text_embeds": torch.zeros(1, 1280), "time_ids": torch.zeros(1, 6)}
        for unet, control in ((small, slim), (large, full)):
            wanted = skips(unet)
            assert controlled.Controlled(unet, control, images)(*told, added)[0].shape == x.shape
            down, _ = control(*told, images, added_cond_kwargs=added, return_dict=False)
            assert [part.shape for part in down] == wanted


@pytest.mark.parametrize("kind", ["sd15", "sdxl"])
def test_a_control_of_others_is_read_and_checked(kind: str, tmp_path: Path) -> None:
    """From a folder, and from a file in Stability's names."""
    unet = multistep_unet(kind)
    theirs = others_control(unet, tmp_path / "theirs").state_dict()
    layers = unet.config["layers_per_block"]
    named = {f"control_model.{ldm.unet_name(key, layers + 1)}": theirs[key] for key in theirs}
    file = ldm.write_file(named, tmp_path / "it.safetensors")
    for place in (tmp_path / "theirs", file):
        assert stage.finished_by("control")(str(place)) == place
        assert controlled.kind_of(place, unet, "canny") == "canny"
        read = controlled.read_full(place, unet)
        assert all(torch.equal(part, theirs[key]) for key, part in read.state_dict().items())
        assert all(weight.requires_grad for weight in read.parameters())
        with pytest.raises(loop.TrainingError, match="give --condition, sketch or canny or depth"):
            controlled.kind_of(place, unet)
        other = multistep_unet("sd21")
        with pytest.raises(CheckpointError, match="this control was made for another model"):
            controlled.read_full(place, other)
    with pytest.raises(loop.TrainingError, match=r"which has no down_blocks\.1\.resnets"):
        controlled.slim_control(tiny_unet(), controlled.build_for(multistep_unet("sd15")))
    narrow = others_control(unet, tmp_path / "narrow", in_channels=9)
    assert narrow.config["in_channels"] == 9
    with pytest.raises(CheckpointError, match="in_channels is 9, the checkpoint's U-Net has 4"):
        controlled.read_full(tmp_path / "narrow", unet)


def test_depth_is_seen_by_a_network_of_others(tmp_path: Path) -> None:
    """Which a control of others need not have been made with."""
    folder, control = build_dpt(tmp_path / "dpt"), tmp_path / "control"
    control.mkdir()
    found = depth_network("depth", folder, control)
    assert found is not None
    assert np.ptp(found(Image.effect_noise((40, 40), 90).convert("RGB"))) > 0
    with config(folder / "preprocessor_config.json") as settings:
        settings["size"] = {"height": 4, "width": 4}
    with pytest.raises(CheckpointError, match="dpt cannot see depth"):
        depth_network("depth", folder)
