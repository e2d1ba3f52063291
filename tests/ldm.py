"""Toy checkpoints whose settings can be read off their shapes, and the names of Stability's files.

The names are those that diffusers' conversion scripts write; with `gaps`, as they number the blocks
of a tiny U-Net, whose first attentions upwards keep diffusers' names.
"""

import re
from pathlib import Path
from typing import Any

import torch
from diffusers.loaders.single_file_utils import DIFFUSERS_TO_LDM_MAPPING as THEIRS
from safetensors.torch import load_file, save_file
from tiny import tiny_text_encoder, tiny_tokenizer
from torch import Tensor

FIXED = {
    key: name
    for part in ("unet", "controlnet")
    for kind in ("layers", "addition_embed_type")
    for key, name in THEIRS[part][kind].items()
}
RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
OPEN_CLIP = {
    "embeddings.token_embedding": "token_embedding", "final_layer_norm": "ln_final",
    "embeddings.position_embedding.weight": "positional_embedding",
    "encoder.layers.": "transformer.resblocks.", "layer_norm1": "ln_1", "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj", "self_attn": "attn",
}  # fmt: skip
DOWN = ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D")
UP = ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")
LINEAR = {"use_linear_projection": True}
KINDS: dict[str, dict[str, Any]] = {  # settings of their U-Nets
    "sd1": {"block_out_channels": (32, 32, 64, 64), "attention_head_dim": 8, "sample_size": 64},
    "sd2": {
        "block_out_channels": (64, 64, 64, 128), "attention_head_dim": (1, 1, 1, 2), **LINEAR,
        "sample_size": 96,
    },
    "sdxl": {
        "block_out_channels": (64, 64, 128), "attention_head_dim": (1, 1, 2), **LINEAR,
        "down_block_types": DOWN, "up_block_types": UP, "transformer_layers_per_block": (1, 2, 3),
        "cross_attention_dim": 256, "sample_size": 128, "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 64 + 6 * 8,
    },
    "sdxs": {"block_out_channels": (32, 64, 64)},
    "sdxs09": {"block_out_channels": (64, 64, 128), "attention_head_dim": (1, 1, 2)},
}  # fmt: skip
PUBLISHED = {"sdxs": "sdxs-512", "sdxs09": "sdxs-512-0.9"}
OPEN = ("sd2", "sdxs09")  # whose text encoder is OpenCLIP's


def build_toy(folder: Path, kind: str, **unet: Any) -> Path:
    """A checkpoint of a kind of `KINDS` in diffusers' layout, written by diffusers. unet: settings
    of its own."""
    import diffusers
    from transformers import CLIPTextModelWithProjection

    from sdxs.bench.architectures import SCHEDULE, UNETS, assembled

    many = {name: SCHEDULE[name] for name in SCHEDULE if name != "timestep_spacing"}
    scheduler = {
        "sd1": lambda: diffusers.PNDMScheduler(**many, skip_prk_steps=True),
        "sd2": lambda: diffusers.DDIMScheduler(
            **many, prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=False
        ),
        "sdxl": lambda: diffusers.EulerDiscreteScheduler(**many),
    }.get(kind, lambda: diffusers.DEISMultistepScheduler(**SCHEDULE))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tokenizer = tiny_tokenizer()
        settings = {**UNETS.get(PUBLISHED.get(kind, ""), {}), "cross_attention_dim": 128}
        act = "gelu" if kind in OPEN else "quick_gelu"
        parts: dict[str, Any] = {
            "unet": diffusers.UNet2DConditionModel(**{**settings, **KINDS[kind], **unet}),
            "text_encoder": tiny_text_encoder(tokenizer, 128, hidden_act=act),
            "vae": tiny_vae() if kind in PUBLISHED else large_vae(kind == "sdxl"),
        }
        if kind == "sdxl":
            more = {"projection_dim": 64, "hidden_act": "gelu"}
            second = tiny_text_encoder(tokenizer, 128, CLIPTextModelWithProjection, **more)
            parts |= {"text_encoder_2": second, "tokenizer_2": padded("!")}
    own = padded("!") if kind in OPEN else tokenizer
    assembled(tokenizer=own, scheduler=scheduler(), **parts).save_pretrained(folder)
    return folder


def padded(word: str) -> Any:
    tokenizer = tiny_tokenizer()
    tokenizer.pad_token = word
    return tokenizer


def tiny_vae() -> Any:
    from diffusers import AutoencoderTiny

    widths = (8,) * 4
    vae = AutoencoderTiny(encoder_block_out_channels=widths, decoder_block_out_channels=widths)
    vae.decoder.layers[-1].weight.data.mul_(10)  # pictures with light and shade
    return vae


def large_vae(sdxl: bool) -> Any:
    from diffusers import AutoencoderKL

    types = ("DownEncoderBlock2D",) * 4, ("UpDecoderBlock2D",) * 4
    more = {"scaling_factor": 0.13025, "force_upcast": True} if sdxl else {}
    return AutoencoderKL(3, 3, *types, block_out_channels=(32, 32, 64, 64), **more)


def flattened(folder: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint with diffusers' names, below those of their folders."""
    return {
        f"{file.parent.name}.{key}": tensor
        for file in sorted(folder.glob("*/*.safetensors"))
        for key, tensor in load_file(file).items()
    }


def stability(folder: Path, *, gaps: bool = False) -> dict[str, Tensor]:
    """The same with Stability's names."""
    found: dict[str, Tensor] = {}
    flat = flattened(folder)
    two = any(key.startswith("text_encoder_2.") for key in flat)
    layers = {key.split(".")[4] for key in flat if key.startswith("unet.down_blocks.0.resnets.")}
    stride = 3 if gaps else len(layers) + 1
    wide = "unet.down_blocks.1.attentions.0.proj_in.weight"
    clip = two or flat[wide].ndim == 4
    for key, tensor in flat.items():
        part, name = key.split(".", 1)
        if part == "unet":
            kept = gaps and name.startswith("up_blocks.0.attentions.")
            found[f"model.diffusion_model.{name if kept else unet_name(name, stride)}"] = tensor
        elif part == "vae":
            matrix = "mid_block.attentions" in name and tensor.ndim == 2
            shaped = tensor[..., None, None] if matrix else tensor
            found[f"first_stage_model.{vae_name(name)}"] = shaped
        elif part == "text_encoder" and clip:
            above = "conditioner.embedders.0" if two else "cond_stage_model"
            name = name.removeprefix("text_model.")
            found[f"{above}.transformer.text_model.{name}"] = tensor
        else:
            above = "conditioner.embedders.1" if two else "cond_stage_model"
            found |= {f"{above}.model.{n}": t for n, t in open_clip(name, tensor, flat, part)}
    return {key: tensor.contiguous() for key, tensor in found.items()}


def unet_name(name: str, stride: int) -> str:
    """Of a U-Net or a ControlNet; stride: blocks from one halving to the next."""
    if name in FIXED:
        return FIXED[name]
    for ours, theirs in RESNET.items():
        name = re.sub(rf"(resnets\.\d+)\.{ours}\.", rf"\1.{theirs}.", name)
    kinds = {"resnets": "0", "attentions": "1"}
    if found := re.fullmatch(r"(down|up)_blocks\.(\d)\.(resnets|attentions)\.(\d)\.(.+)", name):
        side, block, kind, layer, rest = found.groups()
        number = int(block) * stride + int(layer) + (side == "down")
        return f"{'input' if side == 'down' else 'output'}_blocks.{number}.{kinds[kind]}.{rest}"
    if found := re.fullmatch(r"down_blocks\.(\d)\.downsamplers\.0\.conv\.(.+)", name):
        return f"input_blocks.{(int(found[1]) + 1) * stride}.0.op.{found[2]}"
    if found := re.fullmatch(r"up_blocks\.(\d)\.upsamplers\.0\.conv\.(.+)", name):
        after = 2 if int(found[1]) or stride == 2 else 1
        return f"output_blocks.{(int(found[1]) + 1) * stride - 1}.{after}.conv.{found[2]}"
    if found := re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d)\.(.+)", name):
        place = 1 if found[1] == "attentions" else 2 * int(found[2])
        return f"middle_block.{place}.{found[3]}"
    name = re.sub(r"controlnet_down_blocks\.(\d+)", r"zero_convs.\1.0", name)
    name = name.replace("controlnet_mid_block", "middle_block_out.0")
    return re.sub(
        r"controlnet_cond_embedding\.blocks\.(\d+)",
        lambda found: f"input_hint_block.{2 * int(found[1]) + 2}",
        name,
    )


def vae_name(name: str, ups: int = 4) -> str:
    for ours, theirs in ATTENTION.items():
        name = name.replace(f"mid_block.attentions.0.{ours}.", f"mid.attn_1.{theirs}.")
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", name)
    name = re.sub(r"up_blocks\.(\d)", lambda found: f"up.{ups - 1 - int(found[1])}", name)
    name = name.replace("down_blocks.", "down.").replace("resnets.", "block.")
    name = re.sub(r"(up|down)samplers\.0", r"\1sample", name)
    return name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")


def open_clip(
    name: str, tensor: Tensor, flat: dict[str, Tensor], part: str
) -> list[tuple[str, Tensor]]:
    if name == "text_projection.weight":
        return [("text_projection", tensor.T)]
    if re.search(r"[kv]_proj\.", name):
        return []  # with q
    if "q_proj" in name:
        one = [flat[f"{part}.{name.replace('q_proj', f'{kind}_proj')}"] for kind in "qkv"]
        name, tensor = name.replace("q_proj.", "in_proj_"), torch.cat(one)
    name = name.removeprefix("text_model.")
    for ours, theirs in OPEN_CLIP.items():
        name = name.replace(ours, theirs)
    return [(name, tensor)]


def write_file(tensors: dict[str, Tensor], file: Path, beside: Path | None = None) -> Path:
    """One safetensors file, with the tokenizers of a checkpoint beside it."""
    import shutil

    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, file)
    for name in ("tokenizer", "tokenizer_2") if beside else ():
        if (beside / name).is_dir():
            shutil.copytree(beside / name, file.parent / name)
    return file
