"""A tiny U-Net's function in Stable Diffusion's layers, for a four-stage model with a head start.

The opposite of block removal. What the tiny U-Net lacks is put in so that at first it changes
nothing (function-preserving growth, Net2Net, arXiv 1511.05641): a new block adds zero, what comes
up from the lowest stage is multiplied by zero. Both begin to learn at once, what lies behind them
one step later.
"""

import re

import torch
from diffusers import UNet2DConditionModel
from torch import nn

from sdxs.train.parts.block_removal import source

# The lowest of the tiny one's up blocks knows its input as a skip connection alone, so there a new
# resnet comes first, which lets the skip through; elsewhere it comes second.
PLACES = ((1, 2), (0, 2), (0, 2))


@torch.no_grad()
def grow(tiny: UNet2DConditionModel, large: UNet2DConditionModel) -> None:
    """Make `large` (four stages, two blocks each) compute what `tiny` (three, one each) does.

    Raises KeyError or RuntimeError if their layers do not answer to each other.
    """
    given = {source(key, PLACES): weight for key, weight in tiny.state_dict().items()}
    weights = large.state_dict()
    if unknown := given.keys() - weights.keys():
        raise KeyError(min(unknown))
    large.load_state_dict(weights | given)
    for key in weights.keys() - given.keys():  # blocks add what these make of them
        if re.search(r"\.(conv2|proj_out)\.(weight|bias)$", key):
            large.get_parameter(key).zero_()
    first, second, third = (block.resnets for block in large.up_blocks[1:])
    _let_through(first[0].conv_shortcut, skip=True)
    _let_through(second[1].conv_shortcut, skip=False)
    _let_through(third[1].conv_shortcut, skip=False)


def _let_through(shortcut: nn.Conv2d, *, skip: bool) -> None:
    """Make a 1 x 1 convolution of (hidden, skip) return one of the two."""
    wide = shortcut.out_channels
    nn.init.zeros_(shortcut.weight)
    nn.init.zeros_(shortcut.bias)
    place = torch.arange(wide)
    shortcut.weight[place, place + wide * skip] = 1
