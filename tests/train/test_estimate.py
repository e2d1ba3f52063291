"""What a run would take, and that a dry one leaves nothing."""

from pathlib import Path

import pytest
import torch
from torch import nn

from sdxs.train.parts.learner import Learner, MicroBatch
from sdxs.train.run import estimate, stage
from sdxs.train.run.options import ScaledOptions


class Scaled(ScaledOptions, name="scaled", steps=7, batch=12, lr=0.5, seed=3):
    """One that trains on any number of ranks."""


def test_a_dry_run_says_what_a_run_takes_and_leaves_nothing(tmp_path: Path, capsys) -> None:
    options = Scaled(run=tmp_path / "run", dry_run=True, steps=720)
    network, teacher = nn.Linear(1000, 500), nn.Linear(1000, 1000).requires_grad_(False)
    learner = Learner("student", network, options.lr, 0.9)
    steps = []

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        steps.append(index)
        return learner.learn(generator, 1.0, lambda _: MicroBatch(network(torch.ones(1000)).sum()))

    with (
        pytest.raises(stage.Ended),
        stage.trained(options, learner.parts, step, {}, frozen={"teacher": teacher}),
    ):
        raise AssertionError("nothing comes of it")
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == [
        "student: 0.50 M parameters, 0.50 M of them learn", "teacher: 1.00 M parameters, frozen",
    ]  # fmt: skip
    assert "weights 0.01 GB, gradients 0.00 GB, optimizer 0.00 GB, running mean 0.00 GB" in said[2]
    assert said[3].startswith("at its peak") and said[4].startswith("720 steps of ")
    assert steps == [360, 361, 362] and not options.run.exists()
    found = estimate.memory(learner.parts, [network, teacher])
    learns = 4 * 500_500
    assert found["weights"] == learns + 4 * 1_001_000
    assert found["gradients"] == found["running mean"] == learns
    assert 2 * learns <= found["optimizer"] < 2 * learns + 100
