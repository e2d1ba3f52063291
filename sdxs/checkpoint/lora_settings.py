"""What a LoRA's settings say of its strength, as PEFT and diffusers write them down, checked.

Knows nothing of the matrices themselves.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdxs.checkpoint.tensors import read_json
from sdxs.errors import CheckpointError, one_line

LARGEST = 65504.0  # number in a matrix or a setting, the largest that float16 knows
NOT_LORA = {  # settings of PEFT that make a layer something else than two thin matrices
    "use_dora": "DoRA",
    "modules_to_save": "whole layers beside the low-rank ones",
    "fan_in_fan_out": "transposed layers",
    "lora_bias": "biases",
}
NOT_BESIDE = ("pissa", "olora", "corda", "loftq")  # beginnings that change the checkpoint, too


def scale_of(config: Mapping[str, Any], layer: str, rank: int) -> float:
    """PEFT's: alpha over rank, by the layer's own pattern where there is one; else 1."""
    alpha = patterned(config, "alpha_pattern", layer, config.get("lora_alpha", rank))
    return float(alpha / rank**0.5) if config.get("use_rslora") else float(alpha / rank)


def patterned(config: Mapping[str, Any], pattern: str, layer: str, usual: Any) -> Any:
    """What a pattern of PEFT's settings says of a layer, else what is usual."""
    for name, value in config.get(pattern, {}).items():
        if (name.startswith("^") and layer == name[1:]) or f".{layer}".endswith(f".{name}"):
            return value
    return usual


def peft_settings(file: Path) -> dict[str, Any]:
    """{network: settings}; PEFT's own folders are for one network, the U-Net."""
    if not file.is_file():
        raise CheckpointError(f"there is no {file}, which says how strong the style is: fetch it")
    config = read_json(file)
    if config.get("peft_type", "LORA") != "LORA":
        kind = one_line(config["peft_type"], 40)
        raise CheckpointError(f"{file}: an adapter of the kind {kind} is not supported: LORA is")
    return {"unet": _checked(config, file)}


def diffusers_settings(notes: Mapping[str, str], file: Path) -> dict[str, Any]:
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
