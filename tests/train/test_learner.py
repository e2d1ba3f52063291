"""How an update is computed: the same whatever memory and cards there are."""

import copy
import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from sdxs.train.parts.learner import Learner, MicroBatch
from sdxs.train.parts.solver import Model
from sdxs.train.run import loop
from sdxs.train.run.options import Scale


def learnt(model: Model, scale: Scale, lr: float = 0.0) -> nn.Module:
    """A U-Net after an update of all at once."""
    unet = copy.deepcopy(model.unet).train()
    learner = Learner("unet", unet, lr, scale=scale)
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))

    def one(_: torch.Generator) -> MicroBatch:
        words = model.embed(["a", "b"])
        v = model.with_unet(unet).predict(x, torch.tensor([10, 500]), words)
        return MicroBatch(v.square().mean())

    learner.learn(torch.Generator(), 1.0, one)
    return unet


def test_activations_computed_again_give_the_same_gradient(model: Model) -> None:
    plain, again = learnt(model, Scale()), learnt(model, Scale(checkpointing=True))
    assert again.is_gradient_checkpointing and not plain.is_gradient_checkpointing
    for ours, wanted in zip(again.parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours.grad, wanted.grad)


def test_eight_bits_are_those_of_bitsandbytes(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or it is said what is missing. It is told the same as torch's, but for how torch fuses."""

    class AdamW8bit(torch.optim.AdamW):
        def __init__(self, weights: list[torch.Tensor], lr: float, **how: Any) -> None:
            assert how == {"betas": (0.9, 0.99), "weight_decay": 0.01}
            super().__init__(weights, lr=lr, **how)

    theirs = ModuleType("bitsandbytes.optim")
    theirs.AdamW8bit = AdamW8bit  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bitsandbytes", ModuleType("bitsandbytes"))
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", theirs)
    ours = learnt(model, Scale(eight_bit=True), 0.1).state_dict()
    assert not any(torch.equal(ours[name], part) for name, part in model.unet.state_dict().items())
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(loop.TrainingError, match="pip install 'sdxs"):
        learnt(model, Scale(eight_bit=True))
