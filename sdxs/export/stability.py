"""From diffusers' names to those of Stability's files (LDM): `sdxs.checkpoint.ldm_names` read
backwards.

A tiny U-Net's blocks are numbered with gaps, three to a stage, as diffusers' script for
stable-diffusion.cpp and others numbers them. Knows nothing of files.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from sdxs.checkpoint.ldm_names import ATTENTION, CLIP, OPEN_CLIP, RESNET, UNET

Tensors = Mapping[str, Tensor]
STAGE = 3  # blocks from one halving to the next, at least


def backwards(names: Mapping[str, str]) -> dict[str, str]:
    return {ours: theirs for theirs, ours in names.items()}


_UNET, _RESNET, _ATTENTION = backwards(UNET), backwards(RESNET), backwards(ATTENTION)
_CLIP, _OPEN_CLIP = backwards(CLIP), backwards(OPEN_CLIP)
_BLOCK = re.compile(r"(down|up)_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.+)\.(weight|bias)")
_MIDDLE = re.compile(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)\.(weight|bias)")
_RESIZED = re.compile(r"(down|up)_blocks\.(\d+)\.(?:down|up)samplers\.0\.conv\.(weight|bias)")


def unet(tensors: Tensors) -> dict[str, Tensor]:
    """Of a U-Net."""
    layers = {name.split(".")[3] for name in tensors if name.startswith("down_blocks.0.resnets.")}
    stage = max(STAGE, len(layers) + 1)
    gaps = stage > len(layers) + 1
    attends = {found[2] for name in tensors if (found := _BLOCK.match(name))
               and found[1] == "up" and found[3] == "attentions"}  # fmt: skip

    def theirs(name: str) -> str:
        layer, _, end = name.rpartition(".")
        if layer in _UNET:
            return f"{_UNET[layer]}.{end}"
        if found := _MIDDLE.fullmatch(name):
            kind, place, rest, end = found.groups()
            number = 1 if kind == "attentions" else 2 * int(place)
            return f"middle_block.{number}.{_RESNET.get(rest, rest)}.{end}"
        if found := _RESIZED.fullmatch(name):
            side, block, end = found.groups()
            last = (int(block) + 1) * stage
            if side == "down":
                return f"input_blocks.{last}.0.op.{end}"
            place = 1 if gaps and block == "0" else 1 + (block in attends)
            return f"output_blocks.{last - 1}.{place}.conv.{end}"
        if found := _BLOCK.fullmatch(name):
            side, block, kind, layer, rest, end = found.groups()
            number = int(block) * stage + int(layer) + (side == "down")
            put = "input" if side == "down" else "output"
            part = int(kind == "attentions")
            return f"{put}_blocks.{number}.{part}.{_RESNET.get(rest, rest)}.{end}"
        return name

    return {theirs(name): tensor for name, tensor in tensors.items()}


def autoencoder(tensors: Tensors) -> dict[str, Tensor]:
    """Of an autoencoder, a large one; a tiny one's names stay."""
    ups = [int(found[1]) for name in tensors if (found := re.search(r"up_blocks\.(\d+)", name))]
    last = max(ups, default=0)
    named: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if attention := re.fullmatch(r"(.+)\.mid_block\.attentions\.0\.(.+)\.(weight|bias)", name):
            side, layer, end = attention.groups()
            name = f"{side}.mid.attn_1.{_ATTENTION[layer]}.{end}"
            tensor = tensor[..., None, None] if tensor.ndim == 2 else tensor  # (A, B, 1, 1)
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
        name = re.sub(r"up_blocks\.(\d+)", lambda m: f"up.{last - int(m[1])}", name)
        name = re.sub(r"(up|down)samplers\.0", r"\1sample", name)
        name = name.replace("down_blocks.", "down.").replace(".resnets.", ".block.")
        name = name.replace(".conv_shortcut.", ".nin_shortcut.")
        named[name.replace(".conv_norm_out.", ".norm_out.")] = tensor
    return named


def clip(tensors: Tensors) -> dict[str, Tensor]:
    """Of CLIP's text encoder, whose names are those of transformers before its version 5."""
    return {f"transformer.text_model.{_within(name)}": each for name, each in tensors.items()}


def open_clip(tensors: Tensors) -> dict[str, Tensor]:
    """Of OpenCLIP's, which has query, key and value in one matrix."""
    found: dict[str, Tensor] = {}
    for full, tensor in tensors.items():
        name = _within(full)
        layer = re.fullmatch(r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)", name)
        if name == "text_projection.weight":
            found["model.text_projection"] = tensor.t()
        elif layer is None:
            found[f"model.{_OPEN_CLIP.get(name, name)}"] = tensor
        elif not re.search(r"\.[kv]_proj\.", name):  # which go with q
            block, part, end = layer.groups()
            above = f"model.transformer.resblocks.{block}"
            if part == "self_attn.q_proj":
                parts = [tensors[full.replace("q_proj", f"{kind}_proj")] for kind in "qkv"]
                found[f"{above}.attn.in_proj_{end}"] = torch.cat(parts)
            else:
                found[f"{above}.{_CLIP[part]}.{end}"] = tensor
    return found


def _within(name: str) -> str:
    return name.removeprefix("text_model.")
