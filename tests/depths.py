"""Networks that see depth for the tests, in the layouts of others, tiny and random."""

from pathlib import Path
from typing import Any

import torch


def enlarged(network: Any) -> Any:
    """With a neck and a head that are not as small as at birth, when all is flat to them."""
    for name, weight in network.named_parameters():
        if name.startswith(("neck.", "head.")) and weight.ndim > 1:
            weight.data.normal_(std=(2 / weight[0].numel()) ** 0.5)
    return network


def build_dpt(folder: Path, hybrid: bool = False) -> Path:
    """DPT's layout, tiny and random, with how pictures are prepared; hybrid: as MiDaS 3 is."""
    from transformers import DPTConfig, DPTForDepthEstimation
    from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil

    own: dict[str, Any] = {"patch_size": 8, "neck_hidden_sizes": [8, 8, 16, 16]}
    if hybrid:
        bit = {
            "global_padding": "same", "embedding_dynamic_padding": True, "depths": [1, 1, 1],
            "hidden_sizes": [32] * 4, "embedding_size": 32, "num_groups": 4,
            "out_features": ["stage1", "stage2", "stage3"],
        }  # fmt: skip
        own = {
            "backbone_config": bit, "backbone_featmap_shape": [1, 32, 2, 2], "patch_size": 16,
            "neck_ignore_stages": [0, 1], "neck_hidden_sizes": [32, 32, 16, 16],
        }  # fmt: skip
    config = DPTConfig(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32,
        image_size=32, backbone_out_indices=[0, 1, 2, 3], fusion_hidden_size=16, is_hybrid=hybrid,
        **own,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        enlarged(DPTForDepthEstimation(config)).save_pretrained(folder)
    DPTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder
