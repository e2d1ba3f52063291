"""Savings that change no picture: what is the same for every picture is computed once.

Each takes networks and gives others of the same kind that share all other weights. Equal but for
rounding. Knows nothing of files or engines.
"""

import copy
from collections.abc import Container
from dataclasses import replace
from typing import Any

import torch
from diffusers.models.autoencoders.vae import DecoderTiny
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn
from torch.nn import functional as F

from sdxs.model.engine import Decoder, Networks

CONVOLUTION = {"kernel_size": (3, 3), "stride": (1, 1), "padding": (1, 1), "dilation": (1, 1),
               "groups": 1, "padding_mode": "zeros"}  # fmt: skip


def with_shared_weights(network: nn.Module) -> Any:
    """A copy whose parameters and buffers are the same tensors, until they are replaced."""
    tensors = (*network.parameters(), *network.buffers())
    return copy.deepcopy(network, {id(tensor): tensor for tensor in tensors})


class NoEmbedding(nn.Module):
    """Stands in for what embeds the time step, where nothing reads it any more."""

    def forward(self, sample: Tensor, *_: Any) -> Tensor:
        return sample


@torch.no_grad()
def fold_timestep(network: Any, t: Tensor) -> Any:
    """A U-Net or ControlNet that always sees the time step t ().

    What each residual block adds of it to every pixel becomes part of its first convolution's
    bias. Left as it is where the embedding hears the prompt, too (SDXL), or is read otherwise.
    """
    blocks = [module for module in network.modules() if isinstance(module, ResnetBlock2D)]
    plain = network.config.addition_embed_type is None and network.class_embedding is None
    if not plain or not all(block.time_embedding_norm == "default" for block in blocks):
        return network
    weight = network.conv_in.weight
    embedding = network.time_embedding(network.time_proj(t.reshape(1)).to(weight))  # (1, E)
    folded = with_shared_weights(network)
    for block in (module for module in folded.modules() if isinstance(module, ResnetBlock2D)):
        heard = embedding if block.skip_time_act else block.nonlinearity(embedding)
        shift = block.time_emb_proj(heard)[0]  # (C,)
        block.conv1.bias = nn.Parameter(block.conv1.bias + shift, requires_grad=False)
        block.time_emb_proj = None
        block.time_embedding_norm = "folded"  # no name that diffusers adds something for
    folded.time_proj, folded.time_embedding = NoEmbedding(), NoEmbedding()
    return folded


class Transposed(nn.Module):
    """Nearest-2x and a 3x3 convolution as one transposed 4x4 convolution with stride 2: 4 products
    a pixel and channel instead of 9.

    Each output pixel sees two rows and columns of the smaller picture; the kernel's entries that
    fall on the same one are summed. weight (O, I, 3, 3), bias (O,) or None: the convolution's.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        kernel = weight.new_zeros(*weight.shape[:2], 4, 4, dtype=torch.float32)
        for i, rows in enumerate(_taps()):
            for j, columns in enumerate(_taps()):
                kernel[:, :, i, j] = weight.float()[:, :, rows][:, :, :, columns].sum((2, 3))
        self.weight = nn.Parameter(kernel.transpose(0, 1).to(weight.dtype), requires_grad=False)
        self.bias = bias

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, self.weight, self.bias, stride=2, padding=1)


def _taps() -> list[list[int]]:
    """Of a transposed kernel's four entries: the convolution's that fall on the same pixel.

    Of the outputs 2i and 2i + 1 of pixel i the first sees pixels i - 1 (its entry 3) by tap 0 and
    i (entry 1) by taps 1 and 2, the second sees i (entry 2) by taps 0 and 1, i + 1 (entry 0) by 2.
    """
    return [[2], [1, 2], [0, 1], [0]]


class UpsampleTransposed(nn.Module):
    """In the place of a U-Net's `Upsample2D` that doubles."""

    def __init__(self, upsample: Upsample2D) -> None:
        super().__init__()
        self.channels = upsample.channels
        self.both = Transposed(upsample.conv.weight, upsample.conv.bias)

    def forward(self, x: Tensor, output_size: int | None = None, *_: Any, **__: Any) -> Tensor:
        return self.both(x)


def fold_upsampling(unet: Any, kept: Container[str] = ()) -> Any:
    """A U-Net whose upsampling blocks are transposed convolutions; layers in `kept` stay."""
    folded = with_shared_weights(unet)
    for name, upsample in unet.named_modules():
        whole = type(upsample) is Upsample2D and upsample.use_conv and _is_usual(upsample.conv)
        if whole and f"{name}.conv" not in kept:
            folded.set_submodule(name, UpsampleTransposed(upsample))
    return folded


class Tail(nn.Module):
    """Nearest-2x and two 3x3 convolutions with nothing between them, as one on the smaller picture.

    Together they are 5x5; seen from the smaller picture, 3x3 with an output for each of the four
    pixels that come of one. At the edge the second one sees zeros where that would see the first
    one's: the outermost pixels are computed as they were, from strips two pixels wide.
    """

    def __init__(self, first: nn.Conv2d, second: nn.Conv2d) -> None:
        super().__init__()
        self.first, self.second = first, second
        inner, outer = first.weight.float(), second.weight.float()
        # full 5x5: out[o, i] = sum over m of outer[o, m] * inner[m, i]
        both = F.conv2d(inner.transpose(0, 1), outer.flip(2, 3), padding=2).transpose(
            0, 1
        )  # (O, I, 5, 5)
        out, into = both.shape[:2]
        kernel = both.new_zeros(out, 2, 2, into, 3, 3)
        for p in range(2):
            for q in range(2):
                for i in range(5):
                    for j in range(5):
                        kernel[:, p, q, :, (p + i - 2) // 2 + 1, (q + j - 2) // 2 + 1] += both[
                            :, :, i, j
                        ]
        self.weight = nn.Parameter(kernel.flatten(0, 2).to(first.weight.dtype), requires_grad=False)
        bias = torch.zeros(out) if second.bias is None else second.bias.float()
        if first.bias is not None:
            bias = bias + (outer.sum((2, 3)) @ first.bias.float())
        self.bias = nn.Parameter(
            bias.repeat_interleave(4).to(first.weight.dtype), requires_grad=False
        )

    def forward(self, x: Tensor) -> Tensor:
        inside = F.pixel_shuffle(F.conv2d(x, self.weight, self.bias, padding=1), 2)
        rows = self._as_they_were(torch.cat([x[:, :, :2], x[:, :, -2:]]))
        columns = self._as_they_were(torch.cat([x[..., :2], x[..., -2:]]))
        top, bottom = rows.chunk(2)
        left, right = columns.chunk(2)
        middle = torch.cat([top[:, :, :1], inside[:, :, 1:-1], bottom[:, :, -1:]], 2)
        return torch.cat([left[..., :1], middle[..., 1:-1], right[..., -1:]], 3)

    def _as_they_were(self, x: Tensor) -> Tensor:
        return self.second(self.first(F.interpolate(x, scale_factor=2.0, mode="nearest")))


def _is_doubling(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Upsample) and layer.scale_factor == 2 and layer.mode == "nearest"


def _is_usual(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d) and all(
        getattr(layer, name) == value for name, value in CONVOLUTION.items()
    )


@torch.no_grad()
def fold_decoder(decoder: Decoder, *, transposed: bool = True) -> Decoder:
    """A tiny decoder whose last two convolutions are one, where nothing is between them, and,
    with `transposed`, whose other upsamplings are transposed convolutions. A large one stays."""
    old: Any = decoder.network
    if not isinstance(old.decoder, DecoderTiny):
        return decoder
    network = with_shared_weights(old)
    layers = list(network.decoder.layers)
    folded: list[nn.Module] = []
    while layers:
        usual = [_is_usual(layer) for layer in layers[1:3]]
        if _is_doubling(layers[0]) and len(layers) == 3 and usual == [True, True]:
            folded.append(Tail(*layers[1:]))
            layers = []
        elif transposed and _is_doubling(layers[0]) and usual and usual[0]:
            folded.append(Transposed(layers[1].weight, layers[1].bias))
            layers = layers[2:]
        else:
            folded.append(layers.pop(0))
    network.decoder.layers = nn.Sequential(*folded)
    return replace(decoder, network=network)


def fold(networks: Networks, t: Tensor, *, transposed: bool = True) -> Networks:
    """All of them for networks that see the time step t () alone; layers that a style adds to stay.
    transposed: nearest-2x and convolution as transposed convolution, which is faster where the
    processor has a fast one."""
    styled = {layer for parts in networks.styles.values() for layer in parts.get("unet", ())}
    hears_time = any("time_emb" in layer for layer in styled)
    unet = networks.unet if hears_time else fold_timestep(networks.unet, t)
    return replace(
        networks,
        unet=fold_upsampling(unet, styled) if transposed else unet,
        controls={name: fold_timestep(each, t) for name, each in networks.controls.items()},
        decoders={
            name: fold_decoder(each, transposed=transposed)
            for name, each in networks.decoders.items()
        },
    )
