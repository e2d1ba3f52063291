"""Growth: four stages begin with exactly the tiny U-Net's function, and can leave it."""

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch.nn import functional as F

from sdxs.train.parts.growth import grow
from sdxs.train.parts.models import PRESETS, build_large_unet
from sdxs.train.run.loop import TrainingError
from sdxs.train.teacher import begin_with

GIVEN = torch.Generator().manual_seed(1)
X = torch.randn(3, 4, 8, 8, generator=GIVEN)
T = torch.tensor([5, 500, 999])
WORDS = torch.randn(3, 7, 32, generator=GIVEN)


def test_the_grown_one_computes_the_same(unet: UNet2DConditionModel) -> None:
    large = build_large_unet(PRESETS["toy"], 64).eval()
    before = large(X, T, WORDS).sample
    grow(unet, large)
    wanted = unet(X, T, WORDS).sample
    assert (before - wanted).abs().max() > 0.1
    torch.testing.assert_close(large(X, T, WORDS).sample, wanted, atol=1e-5, rtol=0)


def test_every_new_block_learns(unet: UNet2DConditionModel) -> None:
    """The lowest stage and the middle wait for one step, until they are no longer ignored."""
    large = build_large_unet(PRESETS["toy"], 64)
    grow(unet, large)
    optimizer = torch.optim.SGD(large.parameters(), 1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        F.mse_loss(large(X, T, WORDS).sample, X).backward()
        optimizer.step()
    for name, weight in large.named_parameters():
        assert weight.grad is not None, name
        if "conv2" in name or "proj_out" in name or "mid_block" in name:
            assert weight.grad.abs().max() > 0, name


def test_only_a_tiny_one_of_the_same_width_grows(unet: UNet2DConditionModel, tmp_path) -> None:
    unet.save_pretrained(tmp_path / "unet")
    large = build_large_unet(PRESETS["toy"], 64)
    begin_with(large, tmp_path)
    torch.testing.assert_close(large(X, T, WORDS).sample, unet(X, T, WORDS).sample)
    with pytest.raises(TrainingError, match="other layers"):
        begin_with(build_large_unet(PRESETS["xs"], 64), tmp_path)
