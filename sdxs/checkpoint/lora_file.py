"""From the file of a LoRA to a `Style` for the networks of a checkpoint, checked layer by layer.

Whichever way it was saved (PEFT, diffusers, kohya). Knows nothing of how styles are worn, that is
`sdxs.model.styles`, nor of names or folders of checkpoints.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sdxs.checkpoint.tensors import read_json, read_pickle, read_tensors
from sdxs.errors import CheckpointError, one_line
from sdxs.model.styles import LowRank, Style

PEFT_CONFIG, PEFT_STEM = "adapter_config.json", "adapter_model"
KOHYA = ("lora_unet_", "lora_te")  # keys of files in which every layer has its alpha
FILES = (  # in a folder, the first that is there
    "adapter_model.safetensors",
    "adapter_model.bin",
    "pytorch_lora_weights.safetensors",
)
FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
LARGEST = 65504.0  # number in a matrix, the largest that float16 knows
NOT_LORA = {  # settings of PEFT that make a layer something else than two thin matrices
    "use_dora": "DoRA",
    "modules_to_save": "whole layers beside the low-rank ones",
    "fan_in_fan_out": "transposed layers",
    "lora_bias": "biases",
}
NOT_BESIDE = ("pissa", "olora", "corda", "loftq")  # beginnings that change the checkpoint, too

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


def read_style(path: Path, networks: Mapping[str, nn.Module]) -> Style:
    """A style from a file, or a folder that holds one, for the networks it is meant for.

    `networks`: "unet", "text_encoder" and, where there is one, "text_encoder_2". Every layer that
    the file names must be there and fit. Raises CheckpointError, one line with file and remedy.
    """
    config: dict[str, Any] = {}
    if not path.exists():
        raise CheckpointError(f"there is no style at {path}")
    if path.is_dir():
        names = [path / name for name in FILES if (path / name).is_file()]
        names = names or sorted(path.glob("*.safetensors"))
        if not names and (path / "style").is_dir():
            raise CheckpointError(f"{path} holds no style itself: name {path / 'style'}")
        if not names:
            raise CheckpointError(f"{path} holds no style: one of {', '.join(FILES)} is needed")
        if len(names) > 1 and names[0].name not in FILES:
            raise CheckpointError(f"{path} holds {len(names)} files: name the one that is meant")
        path = names[0]
    if path.suffix == ".safetensors":
        tensors, notes = read_tensors(path)
        config = _diffusers_config(notes, path)
    elif path.suffix == ".bin":
        tensors = read_pickle(path)
    else:
        raise CheckpointError(f"{path} is no style: a .safetensors file is, or a PEFT folder")

    renamed = not config and any(key.startswith("base_model.model.") for key in tensors)
    if path.stem == PEFT_STEM or renamed:
        config = _peft_config(path.parent / PEFT_CONFIG)

    where = {name: _layers(network) for name, network in networks.items()}
    parts: dict[tuple[str, str], dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        network, layer, end = _place(key, where, path)
        if end in parts.setdefault((network, layer), {}):
            raise CheckpointError(f"{path}: {key} is there twice in different words")
        parts[network, layer][end] = tensor
    if not parts:
        raise CheckpointError(f"{path} is empty: fetch the style again")
    found = [
        (network, layer, _matrices(matrices, networks[network].get_submodule(layer), layer, path))
        for (network, layer), matrices in parts.items()
    ]
    own = any(key.startswith(KOHYA) for key in tensors) or any("alpha" in p for p in parts.values())
    style: Style = {}
    for network, layer, (down, up, alpha) in found:  # all fit: only now are numbers copied
        rank = len(down)
        if own and alpha is None:
            raise CheckpointError(
                f"{path}: {layer} has no alpha, which says how strong it is: fetch it again"
            )
        settings = config.get(network, {})
        if (stated := _patterned(settings, "rank_pattern", layer, settings.get("r", rank))) != rank:
            raise CheckpointError(
                f"{path}: {layer} has the rank {rank}, its settings say {stated}: fetch it again"
            )
        scale = _scale(settings, layer, rank) if alpha is None else alpha / rank
        addition = LowRank(down.to(torch.float32, copy=True), up.float() * scale)
        if max(addition.down.abs().max(), addition.up.abs().max()) >= LARGEST:
            raise CheckpointError(f"{path}: {layer} holds numbers that are too large")
        style.setdefault(network, {})[layer] = addition
    return style


def _layers(network: nn.Module) -> dict[str, str]:
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


def _place(key: str, where: Mapping[str, dict[str, str]], path: Path) -> tuple[str, str, str]:
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


def _matrices(
    parts: Mapping[str, Tensor], module: Any, layer: str, path: Path
) -> tuple[Tensor, Tensor, float | None]:
    """A layer's matrices as `LowRank` has them, not yet scaled, and its alpha if it has its own."""
    if not {"down", "up"} <= parts.keys():
        raise CheckpointError(f"{path}: {layer} has only one of its two matrices: fetch it again")
    down, up = parts["down"], parts["up"]
    if not {down.dtype, up.dtype} <= FLOATS:
        raise CheckpointError(f"{path}: {layer} holds no floating point numbers that are supported")
    rank = down.shape[0] if down.ndim else 0
    convolution = isinstance(module, nn.Conv2d)
    if convolution and down.ndim == up.ndim == 2:  # 1 x 1, saved as a matrix
        down, up = down[..., None, None], up[..., None, None]
    if not convolution and down.shape[2:] == up.shape[2:] == (1, 1):
        down, up = down[..., 0, 0], up[..., 0, 0]
    shape = module.weight.shape
    wanted_down = (rank, *shape[1:])
    wanted_up = (shape[0], rank, *[1] * (len(shape) - 2))
    if rank and up.ndim > 1 and up.shape[1] != rank:
        raise CheckpointError(
            f"{path}: {layer} has matrices of the ranks {rank} and {up.shape[1]}: fetch it again"
        )
    if not rank or tuple(down.shape) != wanted_down or tuple(up.shape) != wanted_up:
        raise CheckpointError(
            f"{path}: {layer} has the shapes {tuple(down.shape)} and {tuple(up.shape)}, this "
            f"model's layer is {tuple(shape)}: the style was made for another model"
        )
    for matrix in (down, up):
        if not bool(matrix.abs().max() < LARGEST):
            raise CheckpointError(f"{path}: {layer} holds numbers that are not finite or too large")
    alpha = parts.get("alpha")
    if alpha is None:
        return down, up, None
    if alpha.numel() != 1 or alpha.is_complex() or not math.isfinite(float(alpha)):
        raise CheckpointError(f"{path}: alpha of {layer} is not a number")
    return down, up, float(alpha)


def _scale(config: Mapping[str, Any], layer: str, rank: int) -> float:
    """PEFT's: alpha over rank, by the layer's own pattern where there is one; else 1."""
    alpha = _patterned(config, "alpha_pattern", layer, config.get("lora_alpha", rank))
    return float(alpha / rank**0.5) if config.get("use_rslora") else float(alpha / rank)


def _patterned(config: Mapping[str, Any], pattern: str, layer: str, usual: Any) -> Any:
    """What a pattern of PEFT's settings says of a layer, else what is usual."""
    for name, value in config.get(pattern, {}).items():
        if (name.startswith("^") and layer == name[1:]) or f".{layer}".endswith(f".{name}"):
            return value
    return usual


def _peft_config(file: Path) -> dict[str, Any]:
    """{network: settings}; PEFT's own folders are for one network, the U-Net."""
    if not file.is_file():
        raise CheckpointError(f"there is no {file}, which says how strong the style is: fetch it")
    config = read_json(file)
    if config.get("peft_type", "LORA") != "LORA":
        kind = one_line(config["peft_type"], 40)
        raise CheckpointError(f"{file}: an adapter of the kind {kind} is not supported: LORA is")
    return {"unet": _checked(config, file)}


def _diffusers_config(notes: Mapping[str, str], file: Path) -> dict[str, Any]:
    """What diffusers notes in the file's header: {network: settings}."""
    if "lora_adapter_metadata" not in notes:
        return {}
    try:
        flat = json.loads(notes["lora_adapter_metadata"])
        config: dict[str, Any] = {}
        for key, value in flat.items():
            network, dot, name = key.partition(".")
            if not dot:  # a file for one network names none
                network, name = "unet", key
            config.setdefault(network, {})[name] = value
    except (ValueError, AttributeError, RecursionError):
        raise CheckpointError(f"{file}: lora_adapter_metadata cannot be read") from None
    return {network: _checked(settings, file) for network, settings in config.items()}


def _checked(config: dict[str, Any], file: Path) -> dict[str, Any]:
    for name, what in NOT_LORA.items():
        if config.get(name):
            raise CheckpointError(f"{file}: a style with {what} ({name}) is not supported")
    if config.get("bias", "none") != "none":
        raise CheckpointError(f"{file}: a style with biases is not supported")
    beginning = str(config.get("init_lora_weights")).lower()
    if beginning.startswith(NOT_BESIDE):
        raise CheckpointError(
            f"{file}: a style that began as {one_line(beginning, 40)} is not "
            "supported, it changes the checkpoint's own weights: save it as a plain LoRA"
        )
    if "lora_alpha" not in config:
        raise CheckpointError(f"{file}: lora_alpha, which says how strong the style is, is missing")
    patterns = {}
    for usual, pattern in (("lora_alpha", "alpha_pattern"), ("r", "rank_pattern")):
        own = config.get(pattern) or {}
        numbers = [config[usual]] if usual in config else []
        if isinstance(own, dict):
            numbers += own.values()
        good = all(type(n) in (int, float) and abs(n) <= LARGEST for n in numbers)
        if not isinstance(own, dict) or not good:
            raise CheckpointError(
                f"{file}: {usual} and {pattern} must be numbers, none above {LARGEST:g}"
            )
        for name in own:
            if not re.fullmatch(r"\^?[\w.]+", name):  # a foreign expression can take for ever
                raise CheckpointError(
                    f"{file}: {pattern} {one_line(name, 60)} is not a layer's name"
                )
        patterns[pattern] = own
    return {**config, **patterns}
