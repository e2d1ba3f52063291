"""The autoencoder and what it is trained by."""

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter

from sdxs.train import autoencoder
from sdxs.train.autoencoder import build
from sdxs.train.parts.losses import reconstruction_loss


def test_reconstruction_loss_is_zero_only_on_the_target():
    x = torch.rand(1, 3, 16, 16)
    assert reconstruction_loss(x, x) == 0
    assert reconstruction_loss(x + 0.1, x) > 0.09


def test_the_autoencoder_is_eight_times_smaller():
    z = build(12).encode(torch.zeros(1, 3, 64, 64)).latents
    assert z.shape == (1, 4, 8, 8)


def test_roughness_agrees_with_scipys_uniform_filter():
    z = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)).double()

    def mean_of_nine(x):
        return uniform_filter(x, (0, 0, 3, 3), mode="constant")

    around = mean_of_nine(z.numpy()) / mean_of_nine(np.ones(z.shape))  # at the edge, of fewer
    wanted = np.square(z.numpy() - around).mean()
    assert autoencoder.roughness(z).item() == pytest.approx(wanted, rel=1e-9)
