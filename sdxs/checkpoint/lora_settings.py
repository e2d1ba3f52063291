"""What a LoRA's settings say of its strength, as PEFT and diffusers write them down, checked.

Knows nothing of the matrices themselves.
"""

import json
import re
from collections.abc import Iterator, Mapping
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
    "use_qalora": "QALoRA",
    "use_bdlora": "BD-LoRA",
    "kasa_config": "KaSA",
    "arrow_config": "Arrow routing",
    "monteclora_config": "MonteCLoRA",
    "alora_invocation_tokens": "activated LoRA",
    "layer_replication": "layers that are used more than once",
    "target_parameters": "LoRA of parameters",
    "trainable_token_indices": "word embeddings of its own",
}
BESIDE = ("none", "true", "false", "gaussian", "eva", "orthogonal", "mica")  # beginnings
NOT_BESIDE = ("pissa", "olora", "corda", "loftq", "lora_ga")  # that change the checkpoint, too


def scale_of(config: Mapping[str, Any], layer: str, rank: int) -> float:
    """PEFT's: alpha over rank, by the layer's own pattern where there is one; else 1."""
    alpha = patterned(config, "alpha_pattern", layer, config.get("lora_alpha", rank))
    return float(alpha / rank**0.5) if config.get("use_rslora") else float(alpha / rank)


def patterned(config: Mapping[str, Any], pattern: str, layer: str, usual: Any) -> Any:
    """What a pattern of PEFT's settings says of a layer, else what is usual."""
    own = config.get(pattern, {})
    found = [own[name] for name in _ways(layer) if name in own]
    return min(found)[1] if found else usual  # as PEFT does, the first of the settings


def _ways(layer: str) -> Iterator[str]:
    """How a pattern may name a layer: by the end of its name or, after ^, by all of it."""
    for name in (layer, f"text_model.{layer}"):  # the latter: text encoders of transformers 4
        yield f"^{name}"
        while name:
            yield name
            name = name.partition(".")[2]


def peft_settings(file: Path) -> dict[str, Any]:
    """The settings of a PEFT folder, which are those of one network."""
    if not file.is_file():
        raise CheckpointError(f"there is no {file}, which says how strong the style is: fetch it")
    config = read_json(file)
    if config.get("peft_type", "LORA") != "LORA":
        kind = one_line(config["peft_type"], 40)
        raise CheckpointError(f"{file}: an adapter of the kind {kind} is not supported: LORA is")
    return _checked(config, file)


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
    if beginning not in BESIDE:
        does = "changes" if beginning.startswith(NOT_BESIDE) else "may change"
        raise CheckpointError(
            f"{file}: a style that began as {one_line(beginning, 40)} is not "
            f"supported, it {does} the checkpoint's own weights: save it as a plain LoRA"
        )
    if "lora_alpha" not in config:
        raise CheckpointError(f"{file}: lora_alpha, which says how strong the style is, is missing")
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
    alphas, expression = _by_name(config.get("alpha_pattern") or {})
    if expression is not None:
        raise CheckpointError(
            f"{file}: alpha_pattern {one_line(expression, 60)} is a regular expression, which is "
            "not read as one: name the layers"
        )
    ranks, expression = _by_name(config.get("rank_pattern") or {})
    checked = {**config, "alpha_pattern": alphas, "rank_pattern": ranks}
    if expression is not None:  # the matrices have their ranks; there is only less to check
        checked.pop("r", None)
    return checked


def _by_name(own: Mapping[str, Any]) -> tuple[dict[str, tuple[int, Any]], str | None]:
    """The values of a pattern by name, each with its place in it; the first that is no name.

    A foreign expression can take for ever, so none is tried.
    """
    named: dict[str, tuple[int, Any]] = {}
    for place, (name, value) in enumerate(own.items()):
        plain = name.removesuffix("$").replace("\\.", ".")
        if not re.fullmatch(r"\^?[\w.]+", plain):
            return {}, name
        named.setdefault(plain, (place, value))
    return named, None
