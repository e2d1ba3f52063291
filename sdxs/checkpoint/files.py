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
PEFT_FILES = ("adapter_model.safetensors", "adapter_model.bin")
STYLE_FILES = (*PEFT_FILES, "pytorch_lora_weights.safetensors")  # the first in a folder
STYLED = ("unet", "text_encoder", "text_encoder_2")  # or a PEFT folder for each of these
ADAPTER_FILES = {
    "styles": (
        *(PEFT_CONFIG, *STYLE_FILES),
        *(f"{part}/{name}" for part in STYLED for name in (PEFT_CONFIG, *PEFT_FILES)),
    ),
    "controls": ("config.json", "diffusion_pytorch_model*.safetensors"),
}
CHECKER_FILES = ("config.json", "model.safetensors", "preprocessor_config.json")
DEPTH_FILES = ("config.json", "model.safetensors")


def checkpoint_files(folder: Path) -> dict[str, Path]:
    """The files of a checkpoint that are there, by their names within the folder."""
    found = (file for pattern in HUB_FILES for file in sorted(folder.glob(pattern)))
    return {file.relative_to(folder).as_posix(): file for file in found}


def adapter_files(kind: str, place: Path) -> dict[str, Path]:
    """The files of one of the "styles" or "controls", a folder or a single file, by name."""
    if place.is_dir():
        found = [file for pattern in ADAPTER_FILES[kind] for file in sorted(place.glob(pattern))]
        if not any(file.name != PEFT_CONFIG for file in found):  # then its name is free
            found += sorted(place.glob("*.safetensors"))
        return {file.relative_to(place).as_posix(): file for file in found}
    found = [file for file in (place, place.parent / PEFT_CONFIG) if file.is_file()]
    return {file.name: file for file in found}


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
