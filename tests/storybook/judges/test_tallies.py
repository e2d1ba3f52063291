"""Intervals of shares and of means."""

import numpy as np
import pytest
import torch

from sdxs.storybook.judges.tallies import mean, wilson


def test_wilson_interval_of_a_known_case():
    low, high = wilson(81, 263)  # Newcombe 1998, table I, method 3
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def test_the_mean_and_its_interval() -> None:
    values = torch.randn(400, generator=torch.Generator().manual_seed(0)).tolist()
    row = mean(values)
    assert row["mean"] == pytest.approx(np.mean(values), abs=1e-4) and row["n"] == 400
    reach = 1.96 * np.std(values, ddof=1) / 20
    assert row["upper"] - row["mean"] == pytest.approx(reach, abs=2e-4)
    assert row["mean"] - row["lower"] == pytest.approx(reach, abs=2e-4)
