"""A network that reads latents cell by cell: what is seen where, in which colour, and how many.

It is frozen wherever a loss needs to know what latents show. Not the evaluator: that looks at
pictures, asks each kind of thing for the one place that resembles it most, and takes part in no
loss. This one says of every cell what is in it, so that a thing in two colours or a sky that is
half night is seen to be one, and counts things by a density, so that the same thing twice is seen,
too.
"""

from pathlib import Path
from typing import NamedTuple, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from sdxs.errors import CheckpointError, one_line
from sdxs.storybook.judges.evaluator import Sight
from sdxs.storybook.world.scenes import COLOURS, GROUNDS, SIZES, SKIES, THINGS
from sdxs.train.parts.models import LATENT_CHANNELS

FEW = 1e-4  # keeps divisions by what is seen of a thing from zero
LEAST = 1e-6  # share of a cell below which nothing is read
RARE = 5.0  # a cell's logit of density is lowered by this: most cells hold the foot of nothing
FEWER = 3.0  # and by this at first


class Reading(NamedTuple):
    """What is read in a batch of latents; K kinds of things, cells (h, w).

    kinds (B, K + 1, h, w): logits of what is seen in a cell, the last is no thing. colours (B, 8,
    h, w), sizes (B, 2, h, w): logits of the thing there. skies (B, 3, h, w), grounds (B, 4, h, w):
    logits, of upper cells and of lower ones. density (B, K, h, w): at least 0; how many things of a
    kind touch the ground in a cell.
    """

    kinds: Tensor
    colours: Tensor
    sizes: Tensor
    skies: Tensor
    grounds: Tensor
    density: Tensor

    @property
    def counts(self) -> Tensor:
        """How many things of each kind, (B, K)."""
        return self.density.sum((2, 3))

    @property
    def shares(self) -> Tensor:
        """Of each cell the share in which a kind is seen, (B, K, h, w)."""
        return self.kinds.softmax(1)[:, :-1]

    @property
    def present(self) -> Tensor:
        """Logit of each kind in the cell that shows it most clearly, (B, K)."""
        share = self.kinds.log_softmax(1)[:, :-1]
        rest = (-share.expm1()).clamp(min=LEAST).log()
        return (share - rest).amax((2, 3))

    @property
    def where(self) -> Tensor:
        """Where the things of each kind touch the ground, their mean (B, K, 2): x, y in [0, 1]."""
        h, w = self.density.shape[2:]
        x = (torch.arange(w, device=self.density.device) + 0.5) / w
        y = (torch.arange(h, device=self.density.device) + 0.5) / h
        density = self.density + FEW / (h * w)
        density = density / density.sum((2, 3), keepdim=True)
        return torch.stack((density.sum(2) @ x, density.sum(3) @ y), -1)

    def over(self, logits: Tensor) -> Tensor:
        """Mean probabilities over the cells that each kind is seen in, (B, K, classes)."""
        return averaged(logits.softmax(1), self.shares)

    def sight(self) -> Sight:
        """The same as the evaluator would put it, for `evaluator.check`."""
        h = self.skies.shape[2] // 2
        return Sight(
            present=self.present,
            colour=self.over(self.colours),
            size=self.over(self.sizes),
            where=self.where,
            sky=self.skies[:, :, :h].softmax(1).mean((2, 3)),
            ground=self.grounds[:, :, h:].softmax(1).mean((2, 3)),
            features=self.counts.new_zeros(len(self.counts), 0),
        )


def averaged(values: Tensor, shares: Tensor) -> Tensor:
    """Means of values (B, C, h, w) weighted by shares (B, K, h, w): (B, K, C)."""
    total = torch.einsum("bkhw,bchw->bkc", shares, values)
    return total / (shares.sum((2, 3)) + FEW)[..., None]


class Block(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, width, 3, 1, 1),
            nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, width, 3, 1, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Reader(nn.Module):
    """Latents (B, 4, h, w), h and w even, or as many cells of other channels, to a `Reading`.

    Colours are read after one block, at full size: what lies far off, such as a thing's shape, has
    no part in them, so that they are also read off things that never had them.
    """

    looked = 0.3  # the most noise that a reward puts on the latents, in their own units

    def __init__(self, width: int = 64, channels: int = LATENT_CHANNELS) -> None:
        super().__init__()
        self.width, self.channels, kinds = width, channels, len(THINGS)
        self.near = nn.Sequential(nn.Conv2d(channels, width, 3, 1, 1), Block(width))
        self.far = nn.Sequential(
            nn.Conv2d(width, 2 * width, 3, 2, 1), Block(2 * width), Block(2 * width),
            nn.GroupNorm(8, 2 * width), nn.SiLU(),
        )  # fmt: skip
        self.both = nn.Sequential(
            nn.Conv2d(3 * width, width, 1),
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, 1, 1),
            nn.GroupNorm(8, width),
            nn.SiLU(),
        )
        self.colours = nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(),
                                     nn.Conv2d(width, len(COLOURS), 3, 1, 1))  # fmt: skip
        self.split = [kinds + 1, len(SIZES), len(SKIES), len(GROUNDS), kinds]
        self.out = nn.Conv2d(width, sum(self.split), 1)
        with torch.no_grad():
            self.out.bias[-kinds:] = -FEWER  # or it begins by counting seventeen things

    @property
    def sizes(self) -> tuple[int, ...]:
        """Channels of `features`."""
        return self.width, 2 * self.width, self.width

    def features(self, latents: Tensor, context: Tensor | None = None) -> list[Tensor]:
        """What it makes of latents on its way, whatever their words: near, far, both together."""
        near = self.near(latents)
        far = self.far(near)
        larger = F.interpolate(far, scale_factor=2.0, mode="nearest")
        return [near, far, self.both(torch.cat((near, larger), 1))]

    def forward(self, latents: Tensor) -> Reading:
        near, _, both = self.features(latents)
        out = self.out(both).float()
        kinds, sizes, skies, grounds, density = out.split(self.split, 1)
        colours = self.colours(near).float()
        return Reading(kinds, colours, sizes, skies, grounds, F.softplus(density - RARE))

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: value.contiguous() for name, value in self.state_dict().items()}
        save_file(state, folder / "model.safetensors")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The network of `save`; CheckpointError if the folder does not hold exactly that."""
        try:
            state = load_file(folder / "model.safetensors")
            model = cls(*state["near.0.weight"].shape[:2])
            model.load_state_dict(state)
        except (OSError, KeyError, RuntimeError, SafetensorError) as error:
            raise CheckpointError(f"no reader in {folder} ({one_line(error)})") from None
        return model.eval().requires_grad_(False)
