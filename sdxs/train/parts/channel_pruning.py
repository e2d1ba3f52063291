"""Channel pruning of tiny decoders: the same with fewer channels, most of its function kept.

Of every feature map the channels stay that give most to the convolutions after it, by the mean
square of what they hold times the squared weights that take it in. What the others give on the
average goes into the biases (as in channel pruning, arXiv 1707.06168, without its regression).
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from diffusers.models.autoencoders.vae import DecoderTiny
from diffusers.models.unets.unet_2d_blocks import AutoencoderTinyBlock
from torch import Tensor, nn


@dataclass
class FeatureMap:
    """The convolutions that make a feature map, added up, and those that take it in."""

    makers: list[nn.Conv2d]
    takers: list[nn.Conv2d] = field(default_factory=list)


def feature_maps(decoder: DecoderTiny) -> Iterator[FeatureMap]:
    """Of a decoder all but the first and the last, latents and picture."""
    first, *rest = decoder.layers
    flow = FeatureMap([first])
    for layer in rest:
        if isinstance(layer, AutoencoderTinyBlock):
            one, two, three = (part for part in layer.conv if isinstance(part, nn.Conv2d))
            yield FeatureMap([one], [two])
            yield FeatureMap([two], [three])
            flow.takers.append(one)
            flow.makers.append(three)
        elif isinstance(layer, nn.Conv2d):
            flow.takers.append(layer)
            yield flow
            flow = FeatureMap([layer])


@torch.no_grad()
def chosen(decoder: DecoderTiny, latents: Tensor, width: int) -> dict[nn.Conv2d, list[Tensor]]:
    """Of each convolution the inputs and the outputs that stay, in order; all of latents and
    picture. Its bias becomes that of the convolution that is left.

    latents: (B, 4, h, w) to look at.
    """
    seen: dict[nn.Conv2d, Tensor] = {}

    def look(layer: nn.Conv2d, given: tuple[Tensor]) -> None:
        seen[layer] = given[0]

    convolutions = [layer for layer in decoder.modules() if isinstance(layer, nn.Conv2d)]
    hooks = [layer.register_forward_pre_hook(look) for layer in convolutions]
    decoder(latents)
    for hook in hooks:
        hook.remove()
    stay = {
        layer: [torch.arange(count) for count in (layer.in_channels, layer.out_channels)]
        for layer in convolutions
    }
    for made in feature_maps(decoder):
        worth = torch.stack([
            seen[layer].square().mean((0, 2, 3)) * layer.weight.square().sum((0, 2, 3))
            for layer in made.takers
        ]).sum(0)  # fmt: skip
        kept = worth.topk(min(width, len(worth))).indices.sort().values
        for layer in made.takers:
            stay[layer][0] = kept
            if layer.bias is not None:
                without = seen[layer].mean((0, 2, 3))
                without[kept] = 0
                layer.bias += layer.weight.sum((2, 3)) @ without
        for layer in made.makers:
            stay[layer][1] = kept
    return stay


@torch.no_grad()
def prune(decoder: DecoderTiny, narrow: DecoderTiny, latents: Tensor) -> None:
    """Give `narrow`, whose layers begin like the decoder's, what stays of it; its later ones are
    left as they are, but for the last, which makes the picture of both.

    latents: (B, 4, h, w), such as the decoder will be shown.
    """
    decoder, width = copy.deepcopy(decoder), narrow.layers[0].out_channels
    stay = chosen(decoder, latents, width)
    before = [layer for layer in decoder.modules() if isinstance(layer, nn.Conv2d)]
    after = [layer for layer in narrow.modules() if isinstance(layer, nn.Conv2d)]
    for old, new in [*zip(before[:-1], after, strict=False), (before[-1], after[-1])]:
        taken, made = stay[old]
        new.weight.copy_(old.weight[made][:, taken])
        if old.bias is not None and new.bias is not None:
            new.bias.copy_(old.bias[made])
