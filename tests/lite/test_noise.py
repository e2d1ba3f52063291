"""The noise of a seed is torch's."""

import numpy as np
import pytest
import torch

from sdxs.lite.noise import noise

SEEDS = [0, 1, 7, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**53 + 1, 2**63 - 1]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 15, 16, 17, 31, 32, 60, 1024, 4096, 65536 + 5])
def test_it_is_what_torch_draws(count: int) -> None:
    for seed in SEEDS:
        wanted = torch.randn(count, generator=torch.Generator().manual_seed(seed))
        ours = noise(seed, (count,))
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, wanted, rtol=0, atol=2e-6, err_msg=str(seed))


def test_a_shape_is_filled_row_by_row() -> None:
    wanted = torch.randn(1, 4, 3, 5, generator=torch.Generator().manual_seed(3))
    np.testing.assert_allclose(noise(3, (1, 4, 3, 5)), wanted, rtol=0, atol=2e-6)


def test_nobody_elses_chance_is_touched() -> None:
    np.random.seed(1)
    before = np.random.get_state()[1].tolist()
    noise(3, (64,))
    assert np.random.get_state()[1].tolist() == before
