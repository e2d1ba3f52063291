"""Which files a checkpoint, a style, a control and the networks beside them consist of.

Knows nothing of what people call them, nor of what is in them.
"""

import os
from pathlib import Path

from sdxs.checkpoint.hub import HALF, WHOLE, here

INDEX = "model_index.json"
TOKENIZER_FILES = ("*.json", "merges.txt")
NETWORKS = {  # folder -> its weights file, without the ending
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
}
MORE_NETWORKS = {"vae_large": "diffusion_pytorch_model", "text_encoder_2": "model"}
HUB_FILES = (
    INDEX,
    *(
        f"{folder}/{name}"
        for folder, stem in (NETWORKS | MORE_NETWORKS).items()
        for name in ("config.json", stem + WHOLE, stem + HALF)
    ),
    "scheduler/scheduler_config.json",
    *(f"{folder}/{name}" for folder in ("tokenizer", "tokenizer_2") for name in TOKENIZER_FILES),
)

PEFT_CONFIG = "adapter_config.json"
STYLE_FILES = (  # in a folder, the first that is there
    "adapter_model.safetensors",
    "adapter_model.bin",
    "pytorch_lora_weights.safetensors",
)
ADAPTER_FILES = {
    "styles": (PEFT_CONFIG, *STYLE_FILES),
    "controls": ("config.json", "diffusion_pytorch_model*.safetensors"),
}
CHECKER_FILES = ("config.json", "model.safetensors", "preprocessor_config.json")
DEPTH_FILES = ("config.json", "model.safetensors")


def cached(hub_id: str) -> Path | None:
    """The folder of a model that is complete in the local Hub cache; the network is not asked."""
    try:
        index = here(hub_id, INDEX)
    except OSError:
        return None
    if not index:
        return None
    folder = Path(index).parent
    needed = [folder / "scheduler" / "scheduler_config.json"]
    for network, stem in NETWORKS.items():
        weights = [folder / network / (stem + end) for end in (WHOLE, HALF)]
        needed += [folder / network / "config.json", weights[not weights[0].exists()]]
    tokenizers = [("tokenizer.json",), ("vocab.json", "merges.txt")]
    readable = any(
        all(os.path.exists(folder / "tokenizer" / name) for name in names) for names in tokenizers
    )
    return folder if readable and all(map(os.path.exists, needed)) else None
