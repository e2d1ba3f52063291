"""From a folder to a network that sees depth, of our own kind or Depth Anything's.

Knows nothing of what is done with it, that is `sdxs.model.depth`.
"""

from pathlib import Path

import torch
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation

from sdxs.checkpoint.tensors import build, check_numbers, read_json
from sdxs.checkpoint.weights import fill, weights_in
from sdxs.errors import CheckpointError
from sdxs.model.depth import DepthEstimator, DepthNetwork

TODAY = {  # transformers' names for parts of an attention layer: in files, and since version 5
    "attention.query": "q_proj",
    "attention.key": "k_proj",
    "attention.value": "v_proj",
    "output.dense": "o_proj",
}


def load_depth(folder: Path, device: torch.device) -> DepthEstimator:
    """From a folder with `config.json` and safetensors, of either kind. Raises CheckpointError."""
    file = folder / "config.json"
    config = read_json(file)
    check_numbers(config, file)
    if config.get("_class_name") == "DepthNetwork":
        network = build(lambda: DepthNetwork.from_config(config), file)
        weights = weights_in(folder, "diffusion_pytorch_model")
    elif config.get("model_type") == "depth_anything":
        network = build(
            lambda: DepthAnythingForDepthEstimation(DepthAnythingConfig.from_dict(config)), file
        )
        weights = weights_in(folder, "model")
    else:
        raise CheckpointError(
            f"{file}: no network of this kind is known to see depth: Depth Anything's are, and "
            "those of sdxs.train.depth"
        )
    return DepthEstimator(fill(network, weights, torch.float32, _today), device)


def _today(key: str) -> str:
    """Names of Depth Anything's files to those that transformers 5 has in memory."""
    for old, new in TODAY.items():
        key = key.replace(f".attention.{old}.", f".attention.{new}.")
    return key
