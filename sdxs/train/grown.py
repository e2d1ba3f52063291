"""A tiny U-Net's function in Stable Diffusion's layers, for a four-stage model with a head start.

The opposite of block removal. What the tiny U-Net lacks is put in so that at first it changes
nothing (function-preserving growth, Net2Net, arXiv 1511.05641): a new block adds zero, what comes
up from the lowest stage is multiplied by zero. All of it gets gradients from the first step on.
"""

import re

import torch
from diffusers import UNet2DConditionModel
from torch import nn

# The tiny one's two resnets of an up block stand first and last of three; but the lowest knows its
# input only as a skip connection, so there they stand behind a new one that lets the skip through.
PLACES = {0: (1, 2), 1: (0, 2), 2: (0, 2)}  # the tiny U-Net's up block -> places in the next one


def destination(key: str) -> str:
    """Where in the large U-Net a tiny one's weight goes."""
    found = re.fullmatch(r"up_blocks\.(\d)\.(resnets|attentions)\.(\d)\.(.+)", key)
    if found:
        block, kind, place, rest = int(found[1]), found[2], int(found[3]), found[4]
        return f"up_blocks.{block + 1}.{kind}.{PLACES[block][place]}.{rest}"
    found = re.fullmatch(r"up_blocks\.(\d)\.(.+)", key)
    return f"up_blocks.{int(found[1]) + 1}.{found[2]}" if found else key


@torch.no_grad()
def grow(tiny: UNet2DConditionModel, large: UNet2DConditionModel) -> None:
    """Make `large` (four stages, two blocks each) compute what `tiny` (three, one each) does.

    Raises KeyError or RuntimeError if their layers do not answer to each other.
    """
    given = {destination(key): weight for key, weight in tiny.state_dict().items()}
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
