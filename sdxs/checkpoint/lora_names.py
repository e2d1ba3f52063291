"""What files of LoRAs call a layer: PEFT's names, diffusers' of all years, kohya's, Stability's.

Knows nothing of what is stored under a name.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from sdxs.errors import CheckpointError, one_line

PEFT_PREFIX = "base_model.model."  # of whichever network a PEFT folder is for
PREFIXES = {  # how we call the networks -> how files do: diffusers, kohya, OneTrainer, ComfyUI
    "unet": ("unet.", "lora_unet_", "lora_unet.", "diffusion_model.", "lycoris_"),
    "text_encoder": (
        *("text_encoder.", "lora_te_", "lora_te1_", "lora_te.", "lora_te1.", "clip_l."),
        *("text_encoders.clip_l.transformer.", "text_encoders.clip_h.transformer."),
    ),
    "text_encoder_2": (
        *("text_encoder_2.", "lora_te2_", "lora_te2.", "clip_g."),
        "text_encoders.clip_g.transformer.",
    ),
}
_PAIRS = {  # how files call the two matrices: the ends of "down" -> of "up"
    ".lora_A.weight": ".lora_B.weight",
    ".lora_A.default.weight": ".lora_B.default.weight",
    ".lora_down.weight": ".lora_up.weight",
    ".lora.down.weight": ".lora.up.weight",
    "_lora.down.weight": "_lora.up.weight",
    ".lora_linear_layer.down.weight": ".lora_linear_layer.up.weight",
}
# none of them is the end of another
ENDS = dict.fromkeys(_PAIRS, "down") | dict.fromkeys(_PAIRS.values(), "up")
ENDS |= {".alpha": "alpha", ".lora_mid.weight": "mid"}


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
        yield from _sgm(layer, config.layers_per_block)


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


def _sgm(layer: str, depth: int) -> Iterator[str]:
    """A U-Net layer's names in Stability's own code, as in ComfyUI's files and kohya's for SDXL.

    depth: layers_per_block of the U-Net, by which the blocks are numbered through.
    """
    if layer in _SGM_WHOLE:
        yield _SGM_WHOLE[layer]
    found = re.fullmatch(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.+)", layer)
    if found:
        side, kind, rest = found[1], found[3], found[5]
        first, index = int(found[2]) * (depth + 1), int(found[4])  # of the block, in it
        if kind == "downsamplers":
            yield f"input_blocks.{first + depth + 1}.0.op"
        elif kind == "upsamplers":  # the last of its block, which OneTrainer always counts as 2,
            for number in (1, 2):  # others after what there is: without an attention as 1
                yield f"output_blocks.{first + depth}.{number}.{rest}"
        else:
            place = f"input_blocks.{1 + first + index}"
            if side == "up":
                place = f"output_blocks.{first + index}"
            yield f"{place}.{int(kind == 'attentions')}.{_SGM_LAYERS.get(rest, rest)}"
    found = re.fullmatch(r"mid_block\.(\w+)\.(\d+)\.(.+)", layer)
    if found:
        number = 1 if found[1] == "attentions" else 2 * int(found[2])
        yield f"middle_block.{number}.{_SGM_LAYERS.get(found[3], found[3])}"


def place(
    key: str, where: Mapping[str, dict[str, str]], path: Path, usual: str
) -> tuple[str, str, str]:
    """(network, layer, "down" | "up" | "mid" | "alpha") of a key; `usual`: the network that a key
    means which names none."""
    name, network = key.removeprefix(PEFT_PREFIX), usual
    for called, prefixes in PREFIXES.items():
        for prefix in filter(key.startswith, prefixes):  # one at the most
            name, network = key.removeprefix(prefix), called
    for end, part in ENDS.items():
        layer = where.get(network, {}).get(name.removesuffix(end)) if name.endswith(end) else None
        if layer is not None:
            return network, layer, part
    if key.endswith(tuple(ENDS)):
        raise CheckpointError(
            f"{path}: {one_line(key, 120)} names no layer of this model: "
            "the style was made for another one"
        )
    raise CheckpointError(
        f"{path}: {one_line(key, 120)} is no part of a LoRA: it is something else"
    )
