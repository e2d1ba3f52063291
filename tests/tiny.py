"""Tiny seeded checkpoints in diffusers' layout, written by diffusers itself."""

import copy
import functools
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

WINDOW = 16  # tokens, the start and the end included
SPECIAL = ("bos", "eos", "pad")
WORDS = [
    "a", "red", "green", "blue", "house", "tree", "ball", "at", "sunset", "night", "and", "big"
]  # fmt: skip


def tiny_tokenizer() -> Any:
    """A CLIP tokenizer of single bytes and a few whole words."""
    from sdxs.bench.architectures import byte_tokenizer

    merges = []
    for word in WORDS:
        left = word[0] if len(word) > 1 else None
        for letter in word[1:-1]:
            merges.append((left, letter))
            left = f"{left}{letter}"
        if left:
            merges.append((left, word[-1] + "</w>"))
    return byte_tokenizer(list(dict.fromkeys(merges)), WINDOW)


def tiny_scheduler(name: str = "ddpm", **settings: Any) -> Any:
    """A scheduler as people save it with a one-step model."""
    import diffusers

    classes = {
        "ddpm": diffusers.DDPMScheduler,
        "ddim": functools.partial(diffusers.DDIMScheduler, clip_sample=False),
        "deis": diffusers.DEISMultistepScheduler,
        "euler": diffusers.EulerDiscreteScheduler,
        "ancestral": diffusers.EulerAncestralDiscreteScheduler,
        "dpm": diffusers.DPMSolverMultistepScheduler,
        "lcm": diffusers.LCMScheduler,
        "unipc": diffusers.UniPCMultistepScheduler,
        "pndm": diffusers.PNDMScheduler,
    }
    sd = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    return classes[name](**({**sd, "steps_offset": 1, "timestep_spacing": "trailing"} | settings))


def tiny_text_encoder(tokenizer: Any, width: int = 32, cls: Any = None, **settings: Any) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    special = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in SPECIAL}
    sizes = {"hidden_size": width, "intermediate_size": 2 * width, "vocab_size": len(tokenizer)}
    layers = {"num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": WINDOW}
    return (cls or CLIPTextModel)(CLIPTextConfig(**sizes, **layers, **special, **settings))


TINY = {  # what the tiny U-Net and its controls have in common
    "block_out_channels": (16, 32, 32),
    "cross_attention_dim": 32,
    "attention_head_dim": 2,
    "norm_num_groups": 8,
}
TINY_SDXL = {
    "cross_attention_dim": 80,
    "attention_head_dim": [1, 2, 4],
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 24 + 6 * 8,
}


def tiny_unet(layout: str = "sdxs-512", **settings: Any) -> Any:
    """A published layout, by default DreamShaper's, with fewer channels."""
    from diffusers import UNet2DConditionModel

    from sdxs.bench.architectures import UNETS

    return UNet2DConditionModel(**{**UNETS[layout], **TINY, "sample_size": 8, **settings})


def tiny_networks(kind: str) -> dict[str, Any]:
    """U-Net, tokenizers and text encoders of the kind "sd15", "sd21" (0.9's) or "sdxl"."""
    from transformers import CLIPTextModelWithProjection

    tokenizer = tiny_tokenizer()
    if kind == "sd15":
        encoder = tiny_text_encoder(tokenizer)
        return {"unet": tiny_unet(), "tokenizer": tokenizer, "text_encoder": encoder}
    if kind == "sd21":
        tokenizer.pad_token = "a"  # OpenCLIP pads with another token than the end
        return {
            "unet": tiny_unet("sdxs-512-0.9", cross_attention_dim=64, attention_head_dim=[2, 4, 4]),
            "tokenizer": tokenizer,
            "text_encoder": tiny_text_encoder(tokenizer, 64, hidden_act="gelu"),
        }
    return {
        "unet": tiny_unet("sdxs-1024", **TINY_SDXL),
        "tokenizer": tokenizer,
        "tokenizer_2": tiny_tokenizer(),
        "text_encoder": tiny_text_encoder(tokenizer),
        "text_encoder_2": tiny_text_encoder(
            tokenizer, 48, CLIPTextModelWithProjection, projection_dim=24, hidden_act="gelu"
        ),
    }


def build_checkpoint(
    folder: Path, scheduler: Any = None, *, seed: int = 0, large: bool = False, kind: str = "sd15"
) -> Path:
    """A random checkpoint, 64 px, of the kind "sd15", "sd21" or "sdxl"; written by diffusers."""
    from diffusers import AutoencoderKL, AutoencoderTiny

    from sdxs.bench.architectures import assembled

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        networks = tiny_networks(kind)
        widths, types = (8,) * 4, (("DownEncoderBlock2D",) * 4, ("UpDecoderBlock2D",) * 4)
        vae = AutoencoderTiny(encoder_block_out_channels=widths, decoder_block_out_channels=widths)
        vae_large = AutoencoderKL(3, 3, *types, block_out_channels=widths, norm_num_groups=4)
        vae.decoder.layers[-1].weight.data.mul_(10)  # pictures with light and shade
        vae.decoder.layers[-1].bias.data.fill_(0.5)
    scheduled = copy.deepcopy(scheduler) or tiny_scheduler("ddim", prediction_type="v_prediction")
    assembled(vae=vae, scheduler=scheduled, **networks).save_pretrained(folder)
    if scheduler is not None:  # the pipeline turns clipping off: keep what was asked for
        scheduler.save_pretrained(folder / "scheduler")
    if large:
        vae_large.save_pretrained(folder / "vae_large")
    return folder


def multistep_unet(kind: str) -> Any:
    """A U-Net in the layout of Stable Diffusion 1.5 ("sd15"), 2.1 ("sd21") or of SDXL ("sdxl")."""
    from diffusers import UNet2DConditionModel

    from sdxs.bench.architectures import CROSS_DOWN, CROSS_UP

    four = {"block_out_channels": (16, 16, 32, 32), "cross_attention_dim": 32,
            "attention_head_dim": 2, "norm_num_groups": 8}  # fmt: skip
    layouts: dict[str, dict[str, Any]] = {
        "sd15": four,
        "sd21": {**four, "cross_attention_dim": 64, "attention_head_dim": [1, 2, 4, 4],
                 "use_linear_projection": True},
        "sdxl": {
            **TINY, **TINY_SDXL, "use_linear_projection": True,
            "down_block_types": ("DownBlock2D", CROSS_DOWN, CROSS_DOWN),
            "up_block_types": (CROSS_UP, CROSS_UP, "UpBlock2D"),
            "transformer_layers_per_block": [1, 2, 3],
            "addition_embed_type": "text_time",
        },
    }  # fmt: skip
    return UNet2DConditionModel(sample_size=8, **layouts[kind])


def build_multistep(folder: Path, kind: str, *, seed: int = 0, **scheduled: Any) -> Path:
    """A random multi-step checkpoint, 64 px, with such a U-Net (of "sd15" noise is predicted, of
    "sd21" v) and an AutoencoderKL; by diffusers."""
    from diffusers import AutoencoderKL

    from sdxs.bench.architectures import assembled

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        networks = tiny_networks(kind)
        networks["unet"] = multistep_unet(kind)
        widths, types = (8,) * 4, (("DownEncoderBlock2D",) * 4, ("UpDecoderBlock2D",) * 4)
        vae = AutoencoderKL(3, 3, *types, block_out_channels=widths, norm_num_groups=4,
                            scaling_factor=0.13025 if kind == "sdxl" else 0.18215)  # fmt: skip
    name = "euler" if kind == "sdxl" else "pndm"
    predicts = {"prediction_type": "v_prediction" if kind == "sd21" else "epsilon"}
    few = {} if kind == "sdxl" else {"skip_prk_steps": True, "set_alpha_to_one": False}
    scheduler = tiny_scheduler(name, timestep_spacing="leading", **{**predicts, **few, **scheduled})
    assembled(vae=vae, scheduler=scheduler, **networks).save_pretrained(folder)
    return folder


def build_control(folder: Path, seed: int = 0, **settings: Any) -> Path:
    """A random ControlNet for the tiny checkpoint, with the layout of the published sketch one."""
    from diffusers import ControlNetModel

    from sdxs.bench.architectures import CONTROL

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        embedding = {"conditioning_embedding_out_channels": (8, 8, 16, 16)}
        network = ControlNetModel(**{**CONTROL, **TINY, **embedding, **settings})
        for name, parameter in network.named_parameters():
            if "controlnet" in name:  # zero at birth: nothing would be steered
                parameter.data.normal_(std=0.2)
    network.save_pretrained(folder)
    return folder


def others_control(unet: Any, folder: Path, **settings: Any) -> Any:
    """A random ControlNet of a U-Net's own size, as published ones are saved."""
    from diffusers import ControlNetModel

    with torch.random.fork_rng():
        torch.manual_seed(1)
        control = ControlNetModel.from_unet(unet, load_weights_from_unet=False)
        control = ControlNetModel.from_config({**control.config, **settings})
        for name, parameter in control.named_parameters():
            if "controlnet" in name:
                parameter.data.normal_(std=0.2)
    control.save_pretrained(folder)
    return control


def load(checkpoint: Path, **options: Any) -> Any:
    """A model on the processor in float32; styles and controls may be {name: folder}."""
    from sdxs import SDXS

    for kind in options.keys() & {"styles", "controls"}:
        if isinstance(options[kind], dict):
            options[kind] = {name: str(folder) for name, folder in options[kind].items()}
    return SDXS.load(checkpoint, **{"device": "cpu", "dtype": "float32", **options})


def drawing(seed: int = 0, size: tuple[int, int] = (64, 64)) -> Image.Image:
    """A white line that wanders over a black page, as controls see a drawing."""
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", size)
    points = [tuple(point) for point in rng.integers(0, min(size), (6, 2)).tolist()]
    ImageDraw.Draw(picture).line(points, fill="white", width=3)
    return picture


def seeded_prompts(count: int, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=5)) for _ in range(count)]


def noisy_images(count: int, seed: int = 0) -> torch.Tensor:
    """Images (count, 3, 64, 64) in [-1, 1], no two of the same colour or contrast."""
    chance = torch.Generator().manual_seed(seed)
    noise = torch.rand(count, 3, 64, 64, generator=chance) * 2 - 1
    strength, colour = (torch.rand(count, n, 1, 1, generator=chance) * 2 - 1 for n in (1, 3))
    return (strength * noise + colour).clamp(-1, 1)


def build_safety_checker(checkpoint: Path, share: float) -> Path:
    """Give a checkpoint a random safety checker that flags about that share of all pictures."""
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    from sdxs.picture import to_pictures

    layers = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    vision = {"hidden_size": 16, "image_size": 32, "patch_size": 16, **layers}
    config = CLIPConfig(vision_config=vision, projection_dim=8)
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    processor = CLIPImageProcessorPil(**size)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        checker = StableDiffusionSafetyChecker(config).eval()
        for parameter in checker.parameters():
            parameter.data.normal_(std=0.5)
        pictures = to_pictures(noisy_images(64))
        pixels = processor(pictures, return_tensors="pt").pixel_values
        with torch.no_grad():
            seen = checker.visual_projection(checker.vision_model(pixels)[1])
    seen = torch.nn.functional.normalize(seen)
    concepts = torch.nn.functional.normalize(checker.concept_embeds)
    highest = (seen @ concepts.T).amax(1)  # of each picture, over the concepts
    threshold = {0: 2.0, 1: -2.0}.get(share, float(highest.quantile(1 - share)))
    checker.concept_embeds_weights.data.fill_(threshold)
    checker.special_care_embeds_weights.data.fill_(2.0)
    checker.save_pretrained(checkpoint / "safety_checker")
    processor.save_pretrained(checkpoint / "feature_extractor")
    return checkpoint
