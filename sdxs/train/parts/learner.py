"""How the stages learn: AdamW, clipped gradients and, for most, a running mean of the weights."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from sdxs.train.run import loop
from sdxs.train.run.machine import short_attention


class Learner:
    """A network in training, or the part of it that learns.

    name, optimizer: what a state calls them. decay: of the running mean of its weights, None for
    none. foreach: how that is taken, which rounds otherwise. also: a module that learns with it and
    is thrown away. clip: the gradient's norm at most, None for any. adam: what AdamW is told
    otherwise than here.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        lr: float,
        decay: float | None = None,
        *,
        also: nn.Module | None = None,
        optimizer: str = "optimizer",
        foreach: bool = True,
        clip: float | None = 1.0,
        **adam: Any,
    ) -> None:
        self.weights = [weight for weight in network.parameters() if weight.requires_grad]
        self.trained = [*self.weights, *(also.parameters() if also is not None else [])]
        self.lr, self.clip = lr, math.inf if clip is None else clip
        how = {"betas": (0.9, 0.99), "weight_decay": 0.01, "fused": True} | adam
        self.optimizer = torch.optim.AdamW(self.trained, lr=lr, **how)
        self.ema = None if decay is None else EMAModel(self.weights, decay=decay, foreach=foreach)
        self.parts: dict[str, loop.Stateful] = {name: network, optimizer: self.optimizer}
        if self.ema is not None:
            self.parts["ema"] = self.ema

    def update(self, loss: Tensor, factor: float, gradient: Tensor | None = None) -> float:
        """One step down the loss at `factor` times the learning rate; the gradient's norm.

        gradient: by `loss`, where that is no single number.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * factor
        self.optimizer.zero_grad(set_to_none=True)
        with short_attention():
            loss.backward(gradient, inputs=self.trained)
        norm = nn.utils.clip_grad_norm_(self.trained, self.clip)
        self.optimizer.step()
        if self.ema is not None:
            self.ema.step(self.weights)
        return norm.item()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """With the running mean in the place of the weights."""
        if self.ema is not None:
            self.ema.store(self.weights)
        self.settle()
        yield
        if self.ema is not None:
            self.ema.restore(self.weights)

    def settle(self) -> None:
        """Put the running mean in the place of the last weights."""
        if self.ema is not None:
            self.ema.copy_to(self.weights)
