"""How most stages learn: AdamW, clipped gradients, and a running mean of the weights, kept."""

import torch
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from sdxs.train.run import loop
from sdxs.train.run.machine import short_attention


class Averaged:
    """A network in training, or the part of it that learns, and the running mean of its weights.

    also: a module that learns with it and is thrown away.
    """

    def __init__(
        self, network: nn.Module, lr: float, decay: float, also: nn.Module | None = None
    ) -> None:
        self.weights = [weight for weight in network.parameters() if weight.requires_grad]
        self.trained = [*self.weights, *(also.parameters() if also is not None else [])]
        self.lr = lr
        self.optimizer = torch.optim.AdamW(
            self.trained, lr=lr, betas=(0.9, 0.99), weight_decay=0.01, fused=True
        )
        self.ema = EMAModel(self.weights, decay=decay, foreach=True)
        self.parts: dict[str, loop.Stateful] = {"optimizer": self.optimizer, "ema": self.ema}

    def update(self, loss: Tensor, factor: float) -> float:
        """One step down the loss at `factor` times the learning rate; the gradient's norm."""
        loop.set_lr(self.optimizer, self.lr * factor)
        self.optimizer.zero_grad(set_to_none=True)
        with short_attention():
            loss.backward()
        norm = nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.ema.step(self.weights)
        return norm.item()

    def settle(self) -> None:
        """Put the running mean in the place of the last weights."""
        self.ema.copy_to(self.weights)
