"""How the stages learn: AdamW, clipped gradients and, for most, a running mean of the weights.

An update's gradient is the mean over its micro-batches, whichever ranks compute them.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from sdxs.train.run import loop, ranks, sharding
from sdxs.train.run.machine import short_attention
from sdxs.train.run.options import ALL_AT_ONCE, Scale


@dataclass(frozen=True)
class MicroBatch:
    """What came of one. gradient: by the loss, where that is no single number."""

    loss: Tensor
    logged: Mapping[str, float] = field(default_factory=dict)
    gradient: Tensor | None = None


One = Callable[[torch.Generator], MicroBatch]  # of a micro-batch, from its own chance


def eight_bit_adam() -> Callable[..., torch.optim.Optimizer]:
    """AdamW whose two moments are kept in 8 bits (arXiv 2110.02861). Raises TrainingError."""
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError:
        raise loop.TrainingError(
            "--optimizer adamw8bit needs bitsandbytes: pip install 'sdxs[adamw8bit]'"
        ) from None

    def made(weights: list[Tensor], *, fused: bool | None = None, **how: Any) -> Any:
        return AdamW8bit(weights, **how)

    return made


class Learner:
    """A network in training, or the part of it that learns.

    name, optimizer: what a state calls them. decay: of the running mean of its weights, None for
    none. foreach: how that is taken, which rounds otherwise. also: a module that learns with it and
    is thrown away. clip: the gradient's norm at most, None for any. scale: how an update is
    computed. adam: what AdamW is told otherwise than here.

    norm: of the last update's gradient, before it was clipped.
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
        scale: Scale = ALL_AT_ONCE,
        **adam: Any,
    ) -> None:
        self.network, self.sharded = network, scale.sharded and sharding.has_blocks(network)
        self.lr, self.clip = lr, math.inf if clip is None else clip
        self.micro_batches, self.norm = scale.micro_batches, 0.0
        if scale.checkpointing:
            network.enable_gradient_checkpointing()
        if self.sharded:
            for part in (network, also) if also is not None else (network,):
                sharding.shard(part, whole=True)
        self.trained = [*self.weights, *(also.parameters() if also is not None else [])]
        how = {"betas": (0.9, 0.99), "weight_decay": 0.01, "fused": True} | adam
        kind = eight_bit_adam() if scale.eight_bit else torch.optim.AdamW
        self.optimizer = kind(self.trained, lr=lr, **how)
        self.ema = None if decay is None else EMAModel(self.weights, decay=decay, foreach=foreach)
        self.parts: dict[str, loop.Stateful] = {name: network, optimizer: self.optimizer}
        if self.ema is not None:
            self.parts["ema"] = self.ema

    @property
    def weights(self) -> list[Tensor]:
        """Of the network, those that learn."""
        return [weight for weight in self.network.parameters() if weight.requires_grad]

    def learn(self, generator: torch.Generator, factor: float, one: One) -> dict[str, float]:
        """One step down the mean loss at `factor` times the learning rate; means of what is logged.

        generator: of the loop's step. one: called for each micro-batch that is this rank's. Raises
        TrainingError where there are fewer of them than ranks.
        """
        if self.micro_batches < ranks.world():
            raise loop.TrainingError("this part is trained in one process: start no others")
        self.optimizer.zero_grad(set_to_none=True)
        rows = []
        for chance in loop.split(generator, self.micro_batches):
            done = one(chance)
            with short_attention():
                done.loss.backward(done.gradient, inputs=None if self.sharded else self.trained)
            rows.append(done.logged)
        if not self.sharded:  # else that is done
            ranks.sum_gradients(self.trained)
        if self.micro_batches > 1:
            gradients = [weight.grad for weight in self.trained if weight.grad is not None]
            torch._foreach_div_(gradients, self.micro_batches)
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * factor
        norm = nn.utils.clip_grad_norm_(self.trained, self.clip)
        self.norm = (norm.full_tensor() if isinstance(norm, DTensor) else norm).item()
        self.optimizer.step()
        if self.ema is not None:
            self.ema.step(self.weights)
        return ranks.means(rows)

    def update(self, loss: Tensor, factor: float, gradient: Tensor | None = None) -> float:
        """The same of a batch that was computed at once; the gradient's norm."""
        self.learn(torch.Generator(), factor, lambda _: MicroBatch(loss, {}, gradient))
        return self.norm

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
