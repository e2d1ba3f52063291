"""From a folder to a network that sees depth: our own kind, DPT or Depth Anything.

Knows nothing of what is done with it, that is `sdxs.model.depth`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn
from transformers import (
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    DPTConfig,
    DPTForDepthEstimation,
)
from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil

from sdxs.checkpoint.tensors import build, check_numbers, read_json
from sdxs.checkpoint.weights import fill, weights_in
from sdxs.errors import CheckpointError, blaming
from sdxs.model.depth import DepthEstimator, DepthNetwork

TODAY = {  # transformers' names for parts of an attention layer: in files, and since version 5
    "attention.query": "q_proj",
    "attention.key": "k_proj",
    "attention.value": "v_proj",
    "output.dense": "o_proj",
}
KINDS: dict[str, tuple[Any, Any]] = {  # as transformers calls them
    "depth_anything": (DepthAnythingConfig, DepthAnythingForDepthEstimation),
    "dpt": (DPTConfig, DPTForDepthEstimation),
}
UNUSED = ("dpt.pooler.", "neck.fusion_stage.layers.0.residual_layer1.")  # nothing reads them
PROCESSOR = "preprocessor_config.json"
PROCESSOR_SETTINGS = {
    "do_normalize", "do_pad", "do_rescale", "do_resize", "ensure_multiple_of", "image_mean",
    "image_std", "keep_aspect_ratio", "resample", "rescale_factor", "size", "size_divisor",
}  # fmt: skip
LARGEST_PICTURE = 2048  # side that the preprocessor may ask for


def load_depth(folder: Path, device: torch.device) -> DepthEstimator:
    """From a folder with `config.json` and safetensors, and how pictures are prepared where that is
    not as Depth Anything's are: `preprocessor_config.json`. Raises CheckpointError."""
    network = build_depth(folder)
    if isinstance(network, DepthNetwork):
        weights = weights_in(folder, "diffusion_pytorch_model")
        return DepthEstimator(fill(network, weights, torch.float32), device)
    fill(network, weights_in(folder, "model"), torch.float32, _today)
    processor, prepared = None, not isinstance(network, DepthAnythingForDepthEstimation)
    if prepared or os.path.isfile(folder / PROCESSOR):
        processor = _processor(folder / PROCESSOR)
    return DepthEstimator(network, device, processor)


def build_depth(folder: Path) -> nn.Module:
    """By its `config.json`, the weights as torch's chance has them. Raises CheckpointError."""
    file = folder / "config.json"
    config = read_json(file)
    check_numbers(config, file)
    if config.get("_class_name") == "DepthNetwork":
        return build(lambda: DepthNetwork.from_config(config), file)
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in KINDS:
        raise CheckpointError(
            f"{file}: no network of this kind is known to see depth: Depth Anything's and DPT's "
            "are, and those of sdxs.train.depth"
        )
    settings, cls = KINDS[kind]
    network = build(lambda: cls(settings.from_dict(config)), file)
    network.neck.fusion_stage.layers[0].residual_layer1 = nn.Identity()
    return network


def _processor(file: Path) -> DPTImageProcessorPil:
    """What prepares pictures; settings without a meaning here are left out."""
    stated: Mapping[str, Any] = read_json(file)
    settings = {name: value for name, value in stated.items() if name in PROCESSOR_SETTINGS}
    check_numbers(settings, file, most=LARGEST_PICTURE)
    with blaming(f"{file} cannot be used"):
        processor = DPTImageProcessorPil.from_dict(settings)
        processor(Image.new("RGB", (64, 32)), return_tensors="pt")
    return processor


def _today(key: str) -> str | None:
    """Names of files to those that transformers 5 has in memory; None for what nothing reads."""
    if key.startswith(UNUSED):
        return None
    if key.startswith("backbone."):  # Dinov2's
        for old, new in TODAY.items():
            key = key.replace(f".attention.{old}.", f".attention.{new}.")
    return key
