"""From a checkpoint to Stable Diffusion's safety checker and its preprocessor, if it needs them.

Knows nothing of what is done with its flags, that is `sdxs.model.safety`.
"""

import logging
from pathlib import Path
from typing import Any

import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from PIL import Image
from transformers import CLIPConfig
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from sdxs.checkpoint.find import find_safety_checker
from sdxs.checkpoint.tensors import build, check_numbers, read_config, read_json
from sdxs.checkpoint.weights import fill, weights_in
from sdxs.errors import CheckpointError, blaming
from sdxs.model.safety import SafetyChecker
from sdxs.sources import Source

CHECKERS = {"StableDiffusionSafetyChecker": StableDiffusionSafetyChecker}
log = logging.getLogger(__name__)

LARGEST_PICTURE = 2048  # side that the preprocessor may ask for
MOST_PATCHES = 10_000  # that the checker may divide a picture into; the common one has 257
PROCESSOR_SETTINGS = {
    "crop_size", "do_center_crop", "do_convert_rgb", "do_normalize", "do_rescale", "do_resize",
    "image_mean", "image_std", "resample", "rescale_factor", "size",
}  # fmt: skip


def open_checker(
    source: Source, required: bool, device: torch.device, dtype: torch.dtype
) -> tuple[SafetyChecker | None, str]:
    """The safety checker of a checkpoint, or None, and what `SDXS.safety` says of it. Raises
    CheckpointError where one is required and there is none."""
    try:
        fetch = required or source.kind == "hub"
        return load_safety_checker(*find_safety_checker(source, fetch=fetch), device, dtype), "on"
    except CheckpointError as error:
        if required:
            raise CheckpointError(
                f"no safety checker for {source.name}, and it was asked for: {error}"
            ) from None
        log.warning("no safety checker, pictures are shown as they come: %s", error)
        return None, "missing"


def load_safety_checker(
    folder: Path, preprocessor: Path, device: torch.device, dtype: torch.dtype
) -> SafetyChecker:
    """From the folders of the network and of its preprocessor. Raises CheckpointError."""
    file, config = read_config(folder, CHECKERS)
    network = build(lambda: StableDiffusionSafetyChecker(CLIPConfig.from_dict(config)), file)
    embeddings: Any = network.vision_model.embeddings
    if embeddings.num_positions > MOST_PATCHES:
        raise CheckpointError(f"{file}: image_size is beyond any real network")
    embeddings.position_ids = torch.arange(embeddings.num_positions)[None]  # no file holds them
    network = fill(network, weights_in(folder, "model"), torch.float32, _today)
    network.vision_model.to(dtype)
    return SafetyChecker(network, _load_processor(preprocessor, embeddings.image_size), device)


def _load_processor(folder: Path, side: int) -> Any:
    """Pictures to (B, 3, side, side); settings without a meaning here are left out."""
    file = folder / "preprocessor_config.json"
    settings = {key: value for key, value in read_json(file).items() if key in PROCESSOR_SETTINGS}
    check_numbers(settings, file, most=LARGEST_PICTURE)
    with blaming(f"{file} cannot be used"):
        processor = CLIPImageProcessorPil.from_dict(settings)
        trial = processor([Image.new("RGB", (16, 8))], return_tensors="pt").pixel_values
    if trial.shape != (1, 3, side, side) or not trial.isfinite().all():
        raise CheckpointError(f"{file} does not give the {side} x {side} pixels that are needed")
    return processor


def _today(key: str) -> str | None:
    key = key.replace("vision_model.vision_model.", "vision_model.")  # before transformers 5
    return None if key.endswith("embeddings.position_ids") else key
