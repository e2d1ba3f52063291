"""What a student paints from: noises and prompts, with pictures that some of them should give.

Rows of pairs come first, then rows of no pair, or of what supervises. Knows nothing of losses.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sdxs.model.text import Words
from sdxs.train.parts.adversary import Seen
from sdxs.train.parts.denoiser import Denoiser
from sdxs.train.parts.pairs import Pairs
from sdxs.train.parts.real import Real
from sdxs.train.parts.segmented import Bind, plainly
from sdxs.train.parts.solver import Model
from sdxs.train.parts.supervision import Supervision
from sdxs.train.run.machine import DEVICE


@dataclass(frozen=True)
class Batch:
    """What a student paints from, on the device.

    student: under this batch's control if it has one. noise: (B, 4, h, w), of B prompts. target:
    latents (N, 4, h, w) that the first N rows should give. bind: what the score models see of the
    batch beside the words. real: what its last rows should be like.
    """

    student: Denoiser
    noise: Tensor
    words: Words
    target: Tensor
    bind: Bind = plainly
    real: Real | None = None

    def judged(self, x0: Tensor, generator: torch.Generator) -> Seen:
        """What a discriminator is shown: what is real, and the rows of x0 (B, 4, h, w) that should
        be like it."""
        assert self.real is not None
        rows = self.last
        return self.real.real, x0[rows], self.words.rows(rows), generator

    @property
    def last(self) -> slice:
        """The rows that should be like what is real."""
        return slice(len(self.noise) - (len(self.real.texts) if self.real else 0), None)


Draw = Callable[[torch.Generator], Batch]


def drawn(
    student: Denoiser, model: Model, data: Pairs | None, paired: int, fresh: int,
    supervision: Supervision | None = None,
) -> Draw:  # fmt: skip
    """Batches of a U-Net that sees nothing but words: rows of pairs, then rows of no pair.

    The latter are of real pictures where those supervise. data: may be None where there are no
    others.
    """

    shape = model.latent_shape

    def draw(generator: torch.Generator) -> Batch:
        real, none = None, torch.empty(0, *shape)
        noise, target, texts = data.batch(paired, generator) if data else (none, none, [])
        if supervision is not None:
            real = supervision.draw(fresh, generator)
            more, others = torch.randn(real.real.shape, generator=generator), real.texts
        elif data is not None:
            more, others = data.fresh(fresh, generator)
        noise, target = torch.cat((noise, more)).to(DEVICE), target.to(DEVICE)
        return Batch(student, noise, model.embed([*texts, *others]), target, real=real)

    return draw
