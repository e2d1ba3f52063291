"""Who paints: our one-step models, and rivals by diffusers' pipelines at their own settings.

A kind is how its publisher has a model sampled. Knows nothing of prompts' files, nor of what
becomes of the pictures.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import torch
from PIL import Image
from safetensors.torch import load_file

from sdxs.checkpoint.files import checkpoint_files
from sdxs.checkpoint.find import resolve
from sdxs.checkpoint.hub import repository
from sdxs.errors import InputError, blaming, did_you_mean
from sdxs.evaluate.stages import parameters
from sdxs.pipeline import SDXS

Paint = Callable[[Sequence[str], Sequence[int]], list[Image.Image]]
OURS = "sdxs"
TRAILING = {"timestep_spacing": "trailing"}
SDXL = "stabilityai/stable-diffusion-xl-base-1.0"


@dataclass(frozen=True)
class Kind:
    """How models of a kind are sampled. scheduler: None for the checkpoint's own, with `settings`
    over its own. unet, lora: (Hub id, file) that is put into the pipeline. known: Hub ids of it."""

    steps: int
    guidance: float
    source: str
    scheduler: type[Any] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    unet: tuple[str, str] | None = None
    lora: tuple[str, str] | None = None
    known: tuple[str, ...] = ()


LIGHTNING, LIGHTNING_CARD = "ByteDance/SDXL-Lightning", "its model card"
LCM_LORA = "latent-consistency/lcm-lora-{}"
LORA_FILE = "pytorch_lora_weights.safetensors"
KINDS: dict[str, Kind] = {
    "sd": Kind(
        50, 7.5, "model cards of SD 1.5 and 2.1 base, diffusers' defaults",
        known=(
            "stable-diffusion-v1-5/stable-diffusion-v1-5", "stabilityai/stable-diffusion-2-1-base",
        ),
    ),
    "sd-paper": Kind(
        8, 7.5, "table 3 of the paper: 16 NFEs", diffusers.DPMSolverMultistepScheduler,
        known=("segmind/tiny-sd",),
    ),
    "sdxl": Kind(50, 5.0, "model card of SDXL, diffusers' defaults", known=(SDXL,)),
    "sdxl-paper": Kind(
        16, 7.5, "table 3 of the paper: 32 NFEs", diffusers.EulerDiscreteScheduler,
        known=("segmind/Segmind-Vega",),
    ),
    "lcm": Kind(
        4, 8.0, "model card of LCM_Dreamshaper_v7", diffusers.LCMScheduler,
        known=("SimianLuo/LCM_Dreamshaper_v7",),
    ),
    "lcm-lora": Kind(
        4, 1.0, "model card of lcm-lora-sdv1-5, guidance off: 4 NFEs, as in table 3",
        diffusers.LCMScheduler, lora=(LCM_LORA.format("sdv1-5"), LORA_FILE),
    ),
    "lcm-lora-sdxl": Kind(
        4, 1.0, "model card of lcm-lora-sdxl, guidance off: 4 NFEs, as in table 3",
        diffusers.LCMScheduler, lora=(LCM_LORA.format("sdxl"), LORA_FILE),
    ),
    "turbo": Kind(
        1, 0.0, "model cards of SD-Turbo and SDXL-Turbo",
        known=("stabilityai/sd-turbo", "stabilityai/sdxl-turbo"),
    ),
    "turbo-4": Kind(4, 0.0, "model card of SDXL-Turbo: 1 to 4 steps"),
    "lightning": Kind(
        4, 0.0, LIGHTNING_CARD, diffusers.EulerDiscreteScheduler, TRAILING,
        unet=(LIGHTNING, "sdxl_lightning_4step_unet.safetensors"),
    ),
    "lightning-1": Kind(
        1, 0.0, f"{LIGHTNING_CARD}; 1 NFE, as in table 3", diffusers.EulerDiscreteScheduler,
        TRAILING | {"prediction_type": "sample"},
        unet=(LIGHTNING, "sdxl_lightning_1step_unet_x0.safetensors"),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Model:
    """A checkpoint (a name, a folder, a Hub id with a revision after "@") and the kind it is of."""

    name: str
    kind: str

    @property
    def title(self) -> str:
        return f"{self.name} ({self.kind})"

    def settings(self) -> dict[str, str]:
        """What its pictures depend on: beside name and kind, the files of a checkpoint that is on
        this machine, by their sizes and times. Raises SDXSError."""
        told = {"name": self.name, "kind": self.kind}
        if "/" in self.name and not Path(self.name).expanduser().exists():
            return told  # the Hub's, with its revision
        files = checkpoint_files(resolve(self.name).folder)
        stats = [(name, file.stat()) for name, file in sorted(files.items())]
        facts = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
        return {**told, "files": hashlib.sha256(repr(facts).encode()).hexdigest()[:16]}


def model(text: str) -> Model:
    """From "NAME" or "NAME=KIND". Without a kind it is the one that the Hub id is known for, else
    one of ours. Raises InputError."""
    name, _, kind = text.rpartition("=")
    if not name:
        bare = text.partition("@")[0]
        kinds = (kind for kind, row in KINDS.items() if bare in row.known)
        return Model(text, next(kinds, OURS))
    if kind not in (OURS, *KINDS):
        known = [OURS, *KINDS]
        raise InputError(
            f"{text}: there is no kind {kind!r}: {did_you_mean(kind, known)}known are "
            f"{', '.join(known)}"
        )
    return Model(name, kind)


@dataclass(frozen=True)
class Painter:
    """facts: what a table says of it; evaluations are the U-Net's for a picture (the paper's NFEs),
    parameters the U-Net's."""

    facts: dict[str, Any]
    paint: Paint


def open_painter(asked: Model, device: torch.device, dtype: torch.dtype) -> Painter:
    """Load a model. Nothing checks its pictures: blurred ones would be judged. Raises SDXSError."""
    return _ours(asked, device, dtype) if asked.kind == OURS else _rival(asked, device, dtype)


def _ours(asked: Model, device: torch.device, dtype: torch.dtype) -> Painter:
    loaded = SDXS.load(asked.name, engine="eager", safety=False, device=device, dtype=dtype)

    def paint(prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        return list(loaded(list(prompts), seed=list(seeds)))

    source = "the checkpoint's own step"
    said = {"steps": 1, "evaluations": 1, "guidance": None, "scheduler": None, "source": source}
    return Painter({**said, "parameters": _unet_parameters(loaded.source.folder)}, paint)


def _unet_parameters(folder: Path) -> int | None:
    """Of a folder in diffusers' layout; of a single file they are not known."""
    if not folder.is_dir():
        return None
    network = diffusers.UNet2DConditionModel
    with torch.device("meta"):
        return parameters(network.from_config(network.load_config(folder / "unet")))


def _rival(asked: Model, device: torch.device, dtype: torch.dtype) -> Painter:
    kind, folder = KINDS[asked.kind], resolve(asked.name).folder
    if folder.is_file():
        raise InputError(f"{asked.name} is a single file: diffusers is given a folder or a Hub id")
    nothing = dict.fromkeys(("safety_checker", "feature_extractor", "image_encoder"))
    halves = {"variant": "fp16"} if _only_in_16_bits(folder) else {}
    with blaming(f"diffusers cannot load {asked.name}"):
        pipeline = diffusers.DiffusionPipeline.from_pretrained(
            folder, local_files_only=True, requires_safety_checker=False,
            **nothing, **halves,
        )  # fmt: skip
    if kind.scheduler:
        config = pipeline.scheduler.config
        pipeline.scheduler = kind.scheduler.from_config(config, **kind.settings)
    if kind.unet:
        with blaming(f"{'/'.join(kind.unet)} does not fit {asked.name}"):
            pipeline.unet.load_state_dict(load_file(_file(*kind.unet)))
    if kind.lora:
        with blaming(f"{'/'.join(kind.lora)} does not fit {asked.name}"):
            pipeline.load_lora_weights(_file(*kind.lora))
            pipeline.fuse_lora()
    pipeline = pipeline.to(device, dtype)
    pipeline.set_progress_bar_config(disable=True)

    def paint(prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        return list(
            pipeline(
                list(prompts), generator=generators, num_inference_steps=kind.steps,
                guidance_scale=kind.guidance,
            ).images
        )  # fmt: skip

    embedded = pipeline.unet.config.time_cond_proj_dim is not None  # guidance is an input
    twice = kind.guidance > 1 and not embedded
    facts = {
        "steps": kind.steps, "evaluations": kind.steps * (2 if twice else 1),
        "guidance": kind.guidance, "scheduler": type(pipeline.scheduler).__name__,
        "source": kind.source, "parameters": _unet_parameters(folder),
    }  # fmt: skip
    return Painter(facts, paint)


def _only_in_16_bits(folder: Path) -> bool:
    names = [file.name for file in (folder / "unet").glob("*.safetensors")]
    return bool(names) and all(".fp16" in name for name in names)


def _file(hub_id: str, name: str) -> Path:
    return repository(hub_id, hub_id, None, (name,)) / name
