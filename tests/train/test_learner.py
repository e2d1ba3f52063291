"""How an update is computed: the same whatever memory and cards there are."""

import copy
import sys

import pytest
import torch

from sdxs.train.parts.learner import Learner, MicroBatch
from sdxs.train.parts.solver import Model
from sdxs.train.run import loop
from sdxs.train.run.machine import predict
from sdxs.train.run.options import Scale


def test_checkpointing_and_eight_bits(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first gives the same gradient; the second says what is missing."""

    def learnt(scale: Scale) -> list[torch.Tensor]:
        unet = copy.deepcopy(model.unet).train()
        learner = Learner("unet", unet, 0.0, scale=scale)
        x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))

        def one(_: torch.Generator) -> MicroBatch:
            v = predict(unet, x, torch.tensor([10, 500]), model.embed(["a", "b"]))
            return MicroBatch(v.square().mean())

        learner.learn(torch.Generator(), 1.0, one)
        assert unet.is_gradient_checkpointing is scale.checkpointing
        return [weight.grad for weight in unet.parameters()]

    plain, again = learnt(Scale()), learnt(Scale(checkpointing=True))
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(loop.TrainingError, match="pip install bitsandbytes"):
        learnt(Scale(eight_bit=True))
