"""What files of LoRAs call a layer: PEFT's names, diffusers' of all years, kohya's, Stability's.

Knows nothing of what is stored under a name.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from sdxs.errors import CheckpointError, one_line

_PREFIXES = {  # how files call the networks -> how we do
    "base_model.model.": "unet",
    "unet.": "unet",
    "lora_unet_": "unet",
    "text_encoder.": "text_encoder",
    "text_encoder_2.": "text_encoder_2",
    "lora_te_": "text_encoder",
    "lora_te1_": "text_encoder",
    "lora_te2_": "text_encoder_2",
}
_ENDS = {  # how files call the two matrices and the scale
    ".lora_A.weight": "down",
    ".lora_B.weight": "up",
    ".lora_A.default.weight": "down",
    ".lora_B.default.weight": "up",
    ".lora_down.weight": "down",
    ".lora_up.weight": "up",
    ".lora.down.weight": "down",
    ".lora.up.weight": "up",
    "_lora.down.weight": "down",
    "_lora.up.weight": "up",
    ".lora_linear_layer.down.weight": "down",
    ".lora_linear_layer.up.weight": "up",
    ".alpha": "alpha",
}


def layer_names(network: nn.Module) -> dict[str, str]:
    """Every name by which files call a layer that can have an addition -> its name here."""
    names = {}
    for layer, module in network.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            for alias in _aliases(layer, network):
                names[alias] = layer
                names[alias.replace(".", "_")] = layer
    return names


def _aliases(layer: str, network: nn.Module) -> Iterator[str]:
    yield layer
    yield f"text_model.{layer}"  # text encoders of transformers 4
    if found := re.fullmatch(r"(.+\.self_attn)\.(q|k|v|out)_proj", layer):
        yield f"text_model.{found[1]}.to_{found[2]}"  # diffusers' of 2023, in text encoders
    attention, _, last = layer.rpartition(".to_")
    if attention:  # diffusers' attention processors of 2023
        yield f"{attention}.processor.to_{last.removesuffix('.0')}"
    config: Any = getattr(network, "config", None)
    if hasattr(config, "layers_per_block") and isinstance(config.layers_per_block, int):
        yield _sgm(layer, config.layers_per_block)


_SGM_LAYERS = {
    "conv1": "in_layers.2",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_SGM_WHOLE = {
    "conv_in": "input_blocks.0.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}


def _sgm(layer: str, depth: int) -> str:
    """A U-Net layer's name in Stability's own code, which kohya's files for SDXL use."""
    if layer in _SGM_WHOLE:
        return _SGM_WHOLE[layer]
    found = re.fullmatch(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.+)", layer)
    if found:
        side, block, kind, index, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
        if side == "down":
            if kind == "downsamplers":
                return f"input_blocks.{(block + 1) * (depth + 1)}.0.op"
            place = f"input_blocks.{1 + block * (depth + 1) + index}"
        else:
            if kind == "upsamplers":  # the last of its block, after an attention if there is one
                index = depth
            place = f"output_blocks.{block * (depth + 1) + index}"
        if kind == "upsamplers":
            return f"{place}.2.{rest}"
        return f"{place}.{int(kind == 'attentions')}.{_SGM_LAYERS.get(rest, rest)}"
    found = re.fullmatch(r"mid_block\.(\w+)\.(\d+)\.(.+)", layer)
    if found:
        number = 1 if found[1] == "attentions" else 2 * int(found[2])
        return f"middle_block.{number}.{_SGM_LAYERS.get(found[3], found[3])}"
    return layer


def place(key: str, where: Mapping[str, dict[str, str]], path: Path) -> tuple[str, str, str]:
    """(network, layer, "down" | "up" | "alpha") of a key."""
    name = key
    network = "unet"
    for prefix, called in _PREFIXES.items():
        if key.startswith(prefix):
            name, network = key.removeprefix(prefix), called
            break
    for end, part in sorted(_ENDS.items(), key=lambda item: -len(item[0])):
        if name.endswith(end):
            layer = where.get(network, {}).get(name.removesuffix(end))
            if layer is None:
                break
            return network, layer, part
    raise CheckpointError(
        f"{path}: {one_line(key, 120)} names no layer of this model: "
        "the style was made for another one, or is not a LoRA"
    )
