"""Other programs that paint the same weights, measured where they are installed.

stable-diffusion.cpp, by its Python binding: it reads a folder in diffusers' layout, knows SDXS-512
and 0.9 by their shapes, brings its own tokenizer and is, as pip builds it, for CPUs. Knows nothing
of who else is measured.
"""

import io
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from sdxs.bench.sides import Generate

CPP = "stable-diffusion.cpp"
TITLES = {CPP: "stable-diffusion.cpp, float16, JPEG"}


@dataclass(frozen=True)
class Peer:
    version: str
    generate: Generate


def peers(folder: Path, size: tuple[int, int], device: torch.device) -> dict[str, Peer]:
    """By name, those that are installed and know a checkpoint. size: (width, height) in pixels."""
    if device.type != "cpu":
        return {}
    try:
        import stable_diffusion_cpp as cpp
    except ImportError:
        return {}
    model = cpp.StableDiffusion(
        str(folder), wtype="f16", rng_type="cpu", n_threads=torch.get_num_threads(), verbose=False
    )  # with that generator a seed's noise is torch's
    width, height = size

    def generate(prompt: str, seed: int) -> bytes:
        file = io.BytesIO()
        asked = {"sample_steps": 1, "cfg_scale": 1.0, "width": width, "height": height}
        picture = model.generate_image(prompt, seed=seed, **asked)[0]
        picture.convert("RGB").save(file, "JPEG")
        return file.getvalue()

    try:
        generate("", 0)  # loading alone does not complain
    except ValueError:
        print(f"sdxs: {CPP} {cpp.__version__} does not know this checkpoint", file=sys.stderr)
        return {}
    return {CPP: Peer(cpp.__version__, generate)}
