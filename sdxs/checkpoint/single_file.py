"""From a single safetensors file to the parts of a checkpoint, or to a ControlNet.

Files of the Stable Diffusion 1, 2 and XL kind with Stability's names (`model.diffusion_model.`),
with diffusers' names by folder (`unet.`), or some of both, as converters leave tiny U-Nets.
Settings come of the shapes; what shapes do not tell is what diffusers takes for the kind. Knows
nothing of where the file came from.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from sdxs.checkpoint import inferred, ldm_names
from sdxs.checkpoint.inferred import Shapes
from sdxs.checkpoint.tensors import check_numbers, opened
from sdxs.checkpoint.weights import Names, Part, Take, Weights, shape_of
from sdxs.errors import CheckpointError, blaming

PREFIXES = {  # of a name -> of which part
    "model.diffusion_model.": "unet",
    "unet.": "unet",
    "first_stage_model.": "vae",
    "vae.": "vae",
    "vae_large.": "vae_large",
    "cond_stage_model.transformer.": "text_encoder",
    "cond_stage_model.model.": "text_encoder",
    "conditioner.embedders.0.transformer.": "text_encoder",
    "text_encoder.": "text_encoder",
    "conditioner.embedders.1.model.": "text_encoder_2",
    "text_encoder_2.": "text_encoder_2",
}
NAMES: dict[str, Callable[[Iterable[str]], Names]] = {
    "unet": ldm_names.unet_names,
    "vae": ldm_names.autoencoder_names,
    "vae_large": ldm_names.autoencoder_names,
    "text_encoder": ldm_names.text_names,
    "text_encoder_2": ldm_names.text_names,
}
PENULTIMATE = "cond_stage_model.model.transformer.resblocks.23."  # read up to the layer before it
TINY = "AutoencoderTiny"
OPEN_CLIP_PAD = "!"  # the word of id 0
OTHERS = {  # of a name -> what a file is that is no checkpoint
    "lora_": "a LoRA: give it as a style",
    "base_model.model.": "a LoRA: give it as a style",
    "control_model.": "a ControlNet: give it as a control",
    "controlnet_": "a ControlNet: give it as a control",
    "input_hint_block.": "a ControlNet: give it as a control",
    "conditioner.embedders.0.model.": "SDXL's refiner, which is not supported",
    "double_blocks.": "of the Flux kind, which is not supported",
    "joint_blocks.": "of the SD 3 kind, which is not supported",
    "decoder.": "an autoencoder alone",
    "text_model.": "a text encoder alone",
}

SCHEDULE: dict[str, Any] = {
    "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1,
}  # fmt: skip
SCHEDULERS: dict[str, dict[str, Any]] = {  # as diffusers takes them for the kind, and SDXS its own
    "sd1": {
        "_class_name": "PNDMScheduler", "set_alpha_to_one": False, "skip_prk_steps": True,
    },
    "sd2": {
        "_class_name": "DDIMScheduler", "set_alpha_to_one": False, "clip_sample": False,
        "prediction_type": "v_prediction",
    },
    "sdxl": {"_class_name": "EulerDiscreteScheduler"},
    "sdxs": {"_class_name": "DEISMultistepScheduler", "timestep_spacing": "trailing"},
}  # fmt: skip
VAE: dict[str, dict[str, Any]] = {
    "": {"scaling_factor": 0.18215}, "sdxl": {"scaling_factor": 0.13025, "force_upcast": True},
}  # fmt: skip
SIDES = {"sd1": 64, "sd2": 96, "sdxl": 128, "sdxs": 64}  # latents along a picture


class SingleFile:
    """The parts of a checkpoint in a file. Raises CheckpointError."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._stored = _shapes(file)
        self._keys: dict[str, list[str]] = {}
        for key in self._stored:
            prefix = next((prefix for prefix in PREFIXES if key.startswith(prefix)), None)
            if prefix and not key.startswith(PENULTIMATE):
                self._keys.setdefault(PREFIXES[prefix], []).append(key)
        for part in ("unet", "text_encoder", "vae"):
            if part not in self._keys:
                raise CheckpointError(
                    f"{file} is no whole checkpoint, it has no {part}: it is {_what(self._stored)}"
                )
        self._unet = inferred.unet(self._shapes("unet"))
        self.kind = self._kind()

    def _kind(self) -> str:
        """Of the tables above."""
        unet = self._unet
        tiny = len(unet["block_out_channels"]) == 3 and not unet["mid_block_type"]
        plain = unet["down_block_types"][0] == "DownBlock2D"
        if self.has("text_encoder_2"):
            return "sdxl"
        if tiny and (plain or unet["only_cross_attention"][0]):
            return "sdxs"  # what else is that small attends to itself in every stage
        return "sd2" if unet["use_linear_projection"] else "sd1"

    @property
    def _reads_clip(self) -> bool:
        """Whether its first text encoder is CLIP's, not OpenCLIP's."""
        return self.has("text_encoder_2") or not self._unet["use_linear_projection"]

    @property
    def pipeline(self) -> str:
        """What diffusers calls the kind."""
        return "StableDiffusion" + "XL" * self.has("text_encoder_2") + "Pipeline"

    def has(self, part: str) -> bool:
        return part in self._keys

    def part(self, part: str) -> Part:
        """One of the networks by the name of its folder in diffusers' layout."""
        if part == "unet":
            config = self._unet | {"sample_size": SIDES[self.kind]}
            if self.kind == "sdxl":
                pooled = self.part("text_encoder_2").config["projection_dim"]
                told = config["projection_class_embeddings_input_dim"] or 0
                config["addition_time_embed_dim"] = (told - pooled) // inferred.SIZE_NUMBERS
        elif part in ("vae", "vae_large"):
            shapes = self._shapes(part)
            if shapes.has("decoder.layers"):
                config = inferred.tiny_autoencoder(shapes)
            else:
                config = inferred.autoencoder(shapes) | VAE["sdxl" if self.kind == "sdxl" else ""]
        else:
            clip = part == "text_encoder" and self._reads_clip
            act = "quick_gelu" if clip else "gelu"
            config = inferred.text_encoder(self._shapes(part), act)
        check_numbers(config, self.file)
        return Part(self.file, config, Weights(self.file, (self.file,), names=self._names(part)))

    def scheduler(self) -> tuple[Path, dict[str, Any]]:
        """The file that is blamed, and the settings."""
        settings = SCHEDULERS[self.kind]
        if self.part("vae").config["_class_name"] == TINY:  # as one-step models are published
            settings = settings | {"timestep_spacing": "trailing"}
        return self.file, SCHEDULE | settings

    @property
    def pads_with(self) -> Mapping[str, str]:
        """Tokenizer -> what it pads with, where that is not what CLIP's own does."""
        odd = {"tokenizer_2": OPEN_CLIP_PAD}
        return odd if self._reads_clip else odd | {"tokenizer": OPEN_CLIP_PAD}

    def _shapes(self, part: str) -> Shapes:
        names = self._names(part)
        shapes: dict[str, tuple[int, ...]] = {}
        with blaming(f"{self.file}: {part} cannot be made out"):
            for key in self._keys[part]:
                shapes |= {name: shape_of(self._stored[key], take) for name, take in names(key)}
        return Shapes(shapes, f"{self.file}, {part}")

    def _names(self, part: str) -> Names:
        """Of what is stored, those of a part; [] for the tensors of others."""
        own = {key: _without_prefix(key) for key in self._keys[part]}
        names = NAMES[part](own.values())

        def named(key: str) -> list[tuple[str, Take]]:
            return names(own[key]) if key in own else []

        return named


def control_part(file: Path, unet_config: Mapping[str, Any]) -> Part:
    """A ControlNet for a U-Net, in diffusers' or Stability's names. Raises CheckpointError."""
    stored = _shapes(file)
    own = {key: key.removeprefix("control_model.") for key in stored}
    names = ldm_names.unet_names(own.values())
    shapes = {name: stored[key] for key in own for name, _ in names(own[key])}
    found = Shapes(shapes, str(file))
    if not found.has("controlnet_cond_embedding"):
        raise CheckpointError(f"{file} is no ControlNet, it is {_what(stored)}")
    config = inferred.control(found, unet_config)
    check_numbers(config, file)
    return Part(file, config, Weights(file, (file,), names=lambda key: names(own[key])))


def _shapes(file: Path) -> dict[str, tuple[int, ...]]:
    with opened(file) as stored:
        return {key: tuple(stored.get_slice(key).get_shape()) for key in stored.keys()}  # noqa: SIM118


def _without_prefix(key: str) -> str:
    return key.removeprefix(next(prefix for prefix in PREFIXES if key.startswith(prefix)))


def _what(stored: Iterable[str]) -> str:
    """A file that is none of what was looked for."""
    names = list(stored)
    for beginning, what in OTHERS.items():
        if any(name.startswith(beginning) or f".{beginning}" in name for name in names):
            return what
    return "of no kind that is known"
