"""Block removal: every block that is left starts as the teacher's own, and features meet."""

from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from sdxs.bench.architectures import UNETS
from sdxs.train.parts.block_removal import FEATURES, feature_loss, removal
from sdxs.train.parts.features import Tap
from sdxs.train.parts.models import PRESETS, build_large_unet, build_unet
from sdxs.train.run.loop import TrainingError

CROSS_DOWN, CROSS_UP = "CrossAttnDownBlock2D", "CrossAttnUpBlock2D"
SD_1_5: dict[str, Any] = {"cross_attention_dim": 768, "attention_head_dim": 8}  # Stability's own
SD_2_1: dict[str, Any] = {
    "cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20],
    "use_linear_projection": True,
}  # fmt: skip
SDXL: dict[str, Any] = {
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", CROSS_DOWN, CROSS_DOWN),
    "up_block_types": (CROSS_UP, CROSS_UP, "UpBlock2D"),
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 1280 + 6 * 256,
}


def test_parameter_counts() -> None:
    """Those of the plan, in millions."""
    with torch.device("meta"):
        counts = [
            round(sum(p.numel() for p in build(PRESETS[name], 128).parameters()) / 1e6, 1)
            for name in ("xs", "s")
            for build in (build_large_unet, build_unet)
        ]
    assert counts == [19.7, 7.3, 34.6, 12.8]


@pytest.mark.parametrize(
    ("teacher", "layout", "before", "after"),
    [
        (SD_1_5, "sdxs-512", 859.52, 315.75),
        (SD_2_1, "sdxs-512-paper", 865.91, 318.70),
        (SDXL, "sdxs-1024", 2567.46, 745.23),
    ],
    ids=["sd15", "sd21", "sdxl"],
)
def test_what_is_left_of_the_published_ones(
    teacher: dict[str, Any], layout: str, before: float, after: float
) -> None:
    """At full size: the paper's layouts, and every weight has a place to come from, of its own
    shape."""
    with torch.device("meta"):
        large = UNet2DConditionModel(**teacher)
        made = removal(large.config)
        small = UNet2DConditionModel.from_config(made.config)
        published = UNet2DConditionModel(**UNETS[layout])
    counts = [sum(w.numel() for w in unet.parameters()) / 1e6 for unet in (large, small)]
    assert [round(count, 2) for count in counts] == [before, after]
    given, own = large.state_dict(), small.state_dict()
    assert {key: w.shape for key, w in own.items()} == {
        key: w.shape for key, w in published.state_dict().items()
    }
    assert all(given[made.source(key)].shape == weight.shape for key, weight in own.items())
    assert len({made.source(key) for key in own}) == len(own)
    for mine, other in made.features.items():
        small.get_submodule(mine), large.get_submodule(other)
    with pytest.raises(TrainingError, match="no blocks to remove"):
        removal(small.config)


@pytest.fixture
def networks() -> tuple[UNet2DConditionModel, UNet2DConditionModel]:
    """Teacher and student, which begins as what is left of the teacher."""
    torch.manual_seed(0)
    teacher = build_large_unet(PRESETS["toy"], 64)
    return teacher, removal(teacher.config).left(teacher)


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
