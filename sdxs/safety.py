"""The safety checker: Stable Diffusion's own, which compares pictures with unwanted concepts.

A picture that it flags is blurred beyond recognition and said to be. Knows nothing of names,
pages or prompts.
"""

from pathlib import Path
from typing import Any

import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPConfig
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from sdxs.errors import CheckpointError, one_line
from sdxs.picture import to_pictures
from sdxs.stored import build, check_numbers, fill, read_config, read_json, weights_file

CHECKERS = {"StableDiffusionSafetyChecker": StableDiffusionSafetyChecker}
LARGEST_PICTURE = 2048  # side that the preprocessor may ask for
MOST_PATCHES = 10_000  # that the checker may divide a picture into; the common one has 257
PROCESSOR_SETTINGS = {
    "crop_size", "do_center_crop", "do_convert_rgb", "do_normalize", "do_rescale", "do_resize",
    "image_mean", "image_std", "resample", "rescale_factor", "size",
}  # fmt: skip
COARSE = 6  # a hidden picture keeps this many patches of colour along a side


class SafetyChecker:
    """Flags pictures. Any number of threads may call it."""

    def __init__(self, network: Any, processor: Any, device: torch.device) -> None:
        self._network = network.to(device)
        self._processor = processor
        self._device = device

    @torch.no_grad()
    def flags(self, images: Tensor) -> list[bool]:
        """Whether each of (B, 3, H, W), nominally [-1, 1], shows what should not be shown.

        What diffusers' checker computes, its comparisons in float32 whatever the network's dtype.
        """
        net = self._network
        pixels = self._processor(to_pictures(images), return_tensors="pt").pixel_values
        pixels = pixels.to(self._device, net.vision_model.dtype)  # (B, 3, side, side)
        seen = net.vision_model(pixels)[1].float()  # (B, W)
        seen = F.normalize(net.visual_projection(seen))  # (B, P)
        special = seen @ F.normalize(net.special_care_embeds).T - net.special_care_embeds_weights
        adjustment = 0.01 * _above(special).any(1, keepdim=True)
        bad = seen @ F.normalize(net.concept_embeds).T - net.concept_embeds_weights + adjustment
        return _above(bad).any(1).tolist()


def _above(scores: Tensor) -> Tensor:
    return scores.mul(1000).round() > 0  # to three digits, as diffusers does


def hide(images: Tensor, flags: list[bool]) -> Tensor:
    """(B, 3, H, W) with the flagged rows blurred beyond recognition."""
    if not any(flags):
        return images
    rows = torch.tensor(flags, device=images.device)
    coarse = F.adaptive_avg_pool2d(images, COARSE)
    blurred = F.interpolate(coarse, images.shape[-2:], mode="bilinear")
    return torch.where(rows.view(-1, 1, 1, 1), blurred, images)


def load_safety_checker(
    folder: Path, preprocessor: Path, device: torch.device, dtype: torch.dtype
) -> SafetyChecker:
    """From the folders of the network and of its preprocessor. Raises CheckpointError."""
    file = folder / "config.json"
    config = read_config(file, CHECKERS)
    network = build(lambda: StableDiffusionSafetyChecker(CLIPConfig.from_dict(config)), file)
    embeddings: Any = network.vision_model.embeddings
    if embeddings.num_positions > MOST_PATCHES:
        raise CheckpointError(f"{file}: image_size is beyond any real network")
    embeddings.position_ids = torch.arange(embeddings.num_positions)[None]  # no file holds them
    network = fill(network, weights_file(folder, "model"), torch.float32, _today)
    network.vision_model.to(dtype)
    return SafetyChecker(network, _load_processor(preprocessor, embeddings.image_size), device)


def _load_processor(folder: Path, side: int) -> Any:
    """Pictures to (B, 3, side, side); settings without a meaning here are left out."""
    file = folder / "preprocessor_config.json"
    settings = {key: value for key, value in read_json(file).items() if key in PROCESSOR_SETTINGS}
    check_numbers(settings, file, most=LARGEST_PICTURE)
    try:
        processor = CLIPImageProcessorPil.from_dict(settings)
        trial = processor([Image.new("RGB", (16, 8))], return_tensors="pt").pixel_values
    except Exception as error:  # foreign settings make the library raise anything
        raise CheckpointError(f"{file} cannot be used ({one_line(error)})") from None
    if trial.shape != (1, 3, side, side) or not trial.isfinite().all():
        raise CheckpointError(f"{file} does not give the {side} x {side} pixels that are needed")
    return processor


def _today(key: str) -> str | None:
    key = key.replace("vision_model.vision_model.", "vision_model.")  # before transformers 5
    return None if key.endswith("embeddings.position_ids") else key
