"""Block removal: every block that is left starts as the teacher's own, and features meet."""

import pytest
import torch
from diffusers import UNet2DConditionModel

from sdxs.bench.architectures import UNETS
from sdxs.train.parts.block_removal import FEATURES, feature_loss, removed, source
from sdxs.train.parts.features import Tap
from sdxs.train.parts.models import PRESETS, build_large_unet, build_unet

SD_1_5 = {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}


def test_parameter_counts() -> None:
    """Those of the plan, in millions."""
    with torch.device("meta"):
        counts = [
            round(sum(p.numel() for p in build(PRESETS[name], 128).parameters()) / 1e6, 1)
            for name in ("xs", "s")
            for build in (build_large_unet, build_unet)
        ]
    assert counts == [19.7, 7.3, 34.6, 12.8]


def test_sd_15_becomes_sdxs_512() -> None:
    """At full size too, every weight has a place to come from, of its own shape."""
    with torch.device("meta"):
        teacher = UNet2DConditionModel(**SD_1_5).state_dict()
        student = UNet2DConditionModel(**UNETS["sdxs-512"]).state_dict()
    for key, tensor in student.items():
        assert teacher[source(key)].shape == tensor.shape, key
    assert len({source(key) for key in student}) == len(student)


@pytest.fixture
def networks() -> tuple[UNet2DConditionModel, UNet2DConditionModel]:
    """Teacher and student, which begins as what is left of the teacher."""
    torch.manual_seed(0)
    teacher, student = build_large_unet(PRESETS["toy"], 64), build_unet(PRESETS["toy"], 64)
    removed(teacher, student)
    return teacher, student


def test_what_is_left_is_the_teachers(networks: tuple) -> None:
    teacher, student = networks
    for mine, other in (
        ("conv_in", "conv_in"),
        ("down_blocks.1.attentions.0.proj_in", "down_blocks.1.attentions.0.proj_in"),
        ("up_blocks.0.resnets.1.conv1", "up_blocks.1.resnets.2.conv1"),
        ("up_blocks.1.upsamplers.0.conv", "up_blocks.2.upsamplers.0.conv"),
    ):
        ours, theirs = student.get_submodule(mine), teacher.get_submodule(other)
        assert torch.equal(ours.weight, theirs.weight)


def test_features_meet_and_can_be_learnt(networks: tuple) -> None:
    teacher, student = networks
    ours, theirs = Tap(student, list(FEATURES)), Tap(teacher, list(FEATURES.values()))
    x, t, words = torch.randn(4, 4, 8, 8), torch.tensor([5, 300, 600, 900]), torch.randn(4, 5, 32)
    with torch.no_grad():
        teacher(x, t, words)
    optimizer = torch.optim.Adam(student.parameters(), 1e-3)
    losses = []
    for _ in range(20):
        student(x, t, words)
        loss = feature_loss(ours, theirs)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    same = {mine: theirs.features[other] for mine, other in FEATURES.items()}
    ours.features = same
    assert feature_loss(ours, theirs) == 0
