"""Who paints in a benchmark: our engines, and diffusers on the same weights, plain and tuned.

"Plain" is what diffusers does when nobody tunes it: its own memory layout, PNG as Pillow saves it.
"Tuned" is what its documentation on speed advises: 16 bit, channels_last; and JPEG, as ours.
"Compiled" has torch.compile on top, which takes minutes before the first picture.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from sdxs.engines.recorder import Compiled
from sdxs.engines.runtime import Unavailable
from sdxs.errors import InputError
from sdxs.model.hardware import choose_dtype

Generate = Callable[[str, int], bytes]  # prompt and seed to the bytes of a file


@dataclass(frozen=True)
class Theirs:
    """A way of diffusers'. dtype: None for the device's best. tuned, compiled: see above."""

    title: str
    dtype: torch.dtype | None
    tuned: bool = False
    compiled: bool = False


THEIRS = {
    "plain": Theirs("plain diffusers, float32, PNG", torch.float32),
    "plain_bfloat16": Theirs("plain diffusers, bfloat16, PNG", torch.bfloat16),
    "tuned": Theirs("tuned diffusers, channels_last, JPEG", None, tuned=True),
    "compiled": Theirs("compiled diffusers, channels_last, JPEG", None, tuned=True, compiled=True),
}


def check_compiler(device: torch.device, dtype: torch.dtype) -> None:
    """Raises InputError with the remedy where nothing can be compiled."""
    try:
        Compiled.check(device, dtype)
    except Unavailable as reason:
        raise InputError(f"diffusers cannot be compiled: {reason}") from None


def diffusers(way: Theirs, folder: Path, device: torch.device) -> Generate:
    """diffusers' own pipeline on a checkpoint."""
    from diffusers import DiffusionPipeline

    unsafe = {"safety_checker": None, "requires_safety_checker": False}
    dtype = way.dtype or choose_dtype("auto", device)
    pipeline = DiffusionPipeline.from_pretrained(folder, local_files_only=True, **unsafe)
    pipeline = pipeline.to(device, dtype)
    pipeline.set_progress_bar_config(disable=True)
    if way.tuned:
        for network in (pipeline.unet, pipeline.vae):
            network.to(memory_format=torch.channels_last)
    if way.compiled:
        for network in (pipeline.unet, pipeline.vae.decoder):
            network.compile(mode="max-autotune" if device.type == "cuda" else "default")

    def generate(prompt: str, seed: int) -> bytes:
        asked = {"num_inference_steps": 1, "guidance_scale": 1.0}
        generator = torch.Generator("cpu").manual_seed(seed)
        file = io.BytesIO()
        picture = pipeline(prompt, generator=generator, **asked).images[0]
        picture.save(file, *(("JPEG",) if way.tuned else ("PNG",)))
        return file.getvalue()

    return generate
