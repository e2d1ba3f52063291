"""Which files a checkpoint, a style, a control and the networks beside them consist of.

Knows nothing of what people call them, nor of what is in them.
"""

import os
from contextlib import suppress
from pathlib import Path

from sdxs.checkpoint.hub import here
from sdxs.checkpoint.variants import REFUSED, WHOLE, chosen, refuse_others
from sdxs.config import CLIP_TOKENIZER
from sdxs.errors import CheckpointError, one_line

INDEX = "model_index.json"
TOKENIZER_FILES = ("*.json", "merges.txt")
TOKENIZERS = (("tokenizer.json",), ("vocab.json", "merges.txt"))  # one of these will do
CLIP_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
SCHEDULER = "scheduler/scheduler_config.json"
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
        for name in ("config.json", f"{stem}*.safetensors", f"{stem}*.safetensors.index*.json")
    ),
    SCHEDULER,
    *(f"{folder}/{name}" for folder in ("tokenizer", "tokenizer_2") for name in TOKENIZER_FILES),
)

OF_A_STAGE = "result.json"  # in the folder of a training's stage
PEFT_CONFIG = "adapter_config.json"
PEFT_FILES = ("adapter_model.safetensors", "adapter_model.bin")
STYLE_FILES = (*PEFT_FILES, "pytorch_lora_weights.safetensors")  # the first in a folder
STYLED = ("unet", "text_encoder", "text_encoder_2")  # or a PEFT folder for each of these
ADAPTER_FILES = {
    "styles": (
        *(PEFT_CONFIG, *STYLE_FILES),
        *(f"{part}/{name}" for part in STYLED for name in (PEFT_CONFIG, *PEFT_FILES)),
    ),
    "controls": (
        "config.json",
        "diffusion_pytorch_model*.safetensors",
        "diffusion_pytorch_model*.safetensors.index*.json",
    ),
}
CHECKER_FILES = ("config.json", "model.safetensors", "preprocessor_config.json")
DEPTH_FILES = ("config.json", "model.safetensors", "preprocessor_config.json")


def checkpoint_files(place: Path) -> dict[str, Path]:
    """The files of a checkpoint that are there, a folder or a single file, by their names in it."""
    if place.is_file():
        found = {"checkpoint.safetensors": place}
        for name, folder in beside(place).items():
            patterns = ("*_config.json",) if name == "scheduler" else TOKENIZER_FILES
            files = (file for pattern in patterns for file in sorted(folder.glob(pattern)))
            found |= {f"{name}/{file.name}": file for file in files}
        return found
    files = (file for pattern in HUB_FILES for file in sorted(place.glob(pattern)))
    return {file.relative_to(place).as_posix(): file for file in files}


def beside(file: Path) -> dict[str, Path]:
    """Folders with what a single file does not bring: its "scheduler", "tokenizer", "tokenizer_2";
    and "clip", CLIP's tokenizer, which lies with the file or in the local Hub cache."""
    found = {name: file.parent / name for name in ("tokenizer", "tokenizer_2")}
    found["clip"] = file.parent
    with suppress(OSError):  # no leave to read the cache
        if not _tokenizer_in(file.parent) and (common := here(CLIP_TOKENIZER, "tokenizer.json")):
            found["clip"] = Path(common).parent
    found = {name: folder for name, folder in found.items() if _tokenizer_in(folder)}
    if os.path.isfile(file.parent / SCHEDULER):
        found["scheduler"] = (file.parent / SCHEDULER).parent
    return found


def _tokenizer_in(folder: Path) -> bool:
    return any(all(os.path.exists(folder / name) for name in names) for names in TOKENIZERS)


def only_weights(folder: Path) -> Path | None:
    """The single file that a folder without a `model_index.json` holds, or None. Raises
    CheckpointError, which says what there is, where that is not one."""
    found = sorted(path.name for path in folder.glob("*") if path.suffix in (WHOLE, *REFUSED))
    whole = [name for name in found if name.endswith(WHOLE)]
    if len(whole) == 1:
        return folder / whole[0]
    if whole:
        some = ", ".join(one_line(name, 60) for name in whole[:4]) + " …" * (len(whole) > 4)
        raise CheckpointError(f"{folder} holds several files: give the path of one of {some}")
    if found:
        refuse_others(folder / found[0])
    return None


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
    needed = [folder / SCHEDULER]
    for network, stem in NETWORKS.items():
        names = [path.name for path in (folder / network).glob("*")]
        weights = chosen(names, stem) or [f"{stem}{WHOLE}"]
        needed += [folder / network / name for name in ("config.json", *weights)]
    whole = _tokenizer_in(folder / "tokenizer") and all(map(os.path.exists, needed))
    return folder if whole else None
