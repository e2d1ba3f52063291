"""LoRA files under the names of other years and other programs paint as their own library does."""

from pathlib import Path
from typing import Any

import pytest
import torch
from loras import PROMPTS, close, dialects, kohya, lora_of_text, lora_of_unet, loras_of
from safetensors.torch import save_file
from tiny import build_checkpoint, load

from checkpoint.test_lora_file import close_to_diffusers, with_diffusers
from sdxs.checkpoint.lora_file import read_style
from sdxs.checkpoint.lora_names import ENDS, PREFIXES, _aliases, layer_names
from sdxs.checkpoint.parts import load_parts
from sdxs.model.styles import LowRank

LINEAR = ["linear_1", "linear_2", "ff.net.0.proj", "ff.net.2", "proj_out"]
CONVOLUTIONS = ["conv_out", "conv2", "conv_shortcut", "conv", "conv1", "conv_in"]
EVERYWHERE = [
    *LINEAR,
    *CONVOLUTIONS,
    "to_q",
    "to_k",
    "to_v",
    "to_out.0",
    "proj_in",
    "time_emb_proj",
]


def test_a_key_is_read_in_one_way_alone() -> None:
    prefixes = [prefix for names in PREFIXES.values() for prefix in names]
    assert not [(a, b) for a in prefixes for b in prefixes if a != b and a.startswith(b)]
    assert not [(a, b) for a in ENDS for b in ENDS if a != b and a.endswith(b)]


Learnt = tuple[list[Any], dict[str, Any], dict[str, Any]]


@pytest.fixture(scope="module", params=["sd15", "sdxl"])
def learnt(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Learnt:
    """LoRAs of PEFT's, a checkpoint's networks, and what PEFT adds to each layer of them; SDXS's
    pruned shapes: one layer a block and no middle; two, and Stability's blocks of SDXL."""
    folder = build_checkpoint(tmp_path_factory.mktemp("names") / "it", kind=request.param)
    loras = loras_of(folder, EVERYWHERE, alpha=4)
    networks = load_parts(folder, torch.float32)[0]
    added = {
        name: {
            layer: module.get_delta_weight("default")
            for layer, module in lora.get_base_model().named_modules()
            if hasattr(module, "get_delta_weight")
        }
        for name, lora in zip(("unet", "text_encoder", "text_encoder_2"), loras, strict=False)
    }
    return loras, {"unet": networks.unet, **networks.text_encoders}, added


@pytest.mark.parametrize("alpha", [2, None])
@pytest.mark.parametrize("program", dialects(1))
def test_what_programs_write(
    program: str, alpha: float | None, learnt: Learnt, tmp_path: Path
) -> None:
    """With alphas, and without any: then alpha is the rank, which is 4."""
    loras, networks, wanted = learnt
    dialect = dialects(networks["unet"].config.layers_per_block)[program]
    file = tmp_path / "it.safetensors"
    save_file(dialect.of(loras, alpha), file)
    style = read_style(file, networks)
    assert set(style) == ({"unet"} if dialect.alone else set(networks))
    for network, additions in style.items():
        assert additions.keys() == wanted[network].keys()
        for layer, addition in additions.items():
            scale = 1 if alpha is None else alpha / 4
            close(whole(addition), wanted[network][layer] * scale)


def whole(addition: LowRank) -> torch.Tensor:
    """What is added to a layer's weight."""
    return torch.einsum("or...,ri...->oi...", addition.up, addition.down)


@pytest.mark.parametrize("kind", ["sd15", "sdxl"])
def test_what_diffusers_reads_too(kind: str, tmp_path: Path) -> None:
    checkpoint = build_checkpoint(tmp_path / kind, kind=kind)
    loras = loras_of(checkpoint, ["to_q", "to_out.0", "ff.net.2", "proj_in"], alpha=4, std=0.1)
    program = {"sd15": "kohya", "sdxl": "kohya for SDXL"}[kind]
    file = tmp_path / "it.safetensors"
    save_file(dialects(loras[0].config.layers_per_block)[program].of(loras, None), file)
    close_to_diffusers(checkpoint, file)


SHAPES: dict[str, dict[str, Any]] = {
    "SD 1.5": {},
    "SD 2.1": {"use_linear_projection": True},
    "SDXL": {
        "block_out_channels": (32, 32, 32),
        "down_block_types": ("DownBlock2D", *["CrossAttnDownBlock2D"] * 2),
        "up_block_types": (*["CrossAttnUpBlock2D"] * 2, "UpBlock2D"),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 72,
        "transformer_layers_per_block": [1, 2, 3],
    },
    "SDXS-512": {
        "block_out_channels": (32, 32, 32),
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", *["CrossAttnDownBlock2D"] * 2),
        "mid_block_type": None,
        "up_block_types": (*["CrossAttnUpBlock2D"] * 2, "UpBlock2D"),
    },
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("upsampler", [1, 2])
def test_stabilitys_names_of_every_layer(shape: str, upsampler: int) -> None:
    """As diffusers itself converts whole checkpoints. Upsamplers: after an attention or without."""
    from diffusers import UNet2DConditionModel
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    usual = {"block_out_channels": (32,) * 4, "norm_num_groups": 8, "cross_attention_dim": 8}
    with torch.device("meta"):
        unet = UNet2DConditionModel(**{**usual, **SHAPES[shape]})
    names, theirs = layer_names(unet), {}
    for layer in dict.fromkeys(names.values()):
        *_, name = (
            name
            for name in _aliases(layer, unet)
            if "upsamplers" not in layer or f".{upsampler}.conv" in name
        )
        name = name.removeprefix("text_model.")
        if "processor" in name or name == layer:
            raise AssertionError(f"{layer} has no name of Stability's")
        assert names[name] == names[name.replace(".", "_")] == layer
        theirs |= {f"model.diffusion_model.{name}.{end}": layer for end in ("weight", "bias")}
    converted = convert_ldm_unet_checkpoint(theirs, unet.config)
    wanted = {key: key.rpartition(".")[0] for key in converted}
    assert converted == wanted and set(wanted.values()) == set(names.values())


def test_diffusers_files_of_2023(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Attention processors, and a text encoder's projections by their names of then."""
    unet = lora_of_unet(tiny_checkpoint, ["to_q", "to_k", "to_v", "to_out.0"], alpha=4)
    text = lora_of_text(tiny_checkpoint, ["q_proj"], alpha=4)
    weights = {}
    for model in (unet, text):
        for key, tensor in model.state_dict().items():
            layer, lora, rest = key.removeprefix("base_model.model.").partition(".lora_")
            if not lora:
                continue
            stem, _, last = layer.removesuffix(".0").rpartition(".")
            old = f"unet.{stem}.processor.{last}_lora"
            if model is text:
                old = f"text_encoder.text_model.{layer}.lora_linear_layer"
            weights[f"{old}.{'down' if rest[0] == 'A' else 'up'}.weight"] = tensor
    file = tmp_path / "soft.safetensors"
    save_file(weights, file)
    close_to_diffusers(tiny_checkpoint, file)


def test_a_strength_of_a_kohya_file(tiny_checkpoint: Path, unet_lora: Any, tmp_path: Path) -> None:
    text = lora_of_text(tiny_checkpoint)
    file = tmp_path / "ink.safetensors"
    weights = {k: v for k, v in kohya(unet_lora, "lora_unet_", 2).items() if "conv_in" not in k}
    weights |= kohya(text, "lora_te_text_model_", 2)
    save_file({key: tensor.contiguous() for key, tensor in weights.items()}, file)

    def change(pipeline: Any) -> None:
        pipeline.load_lora_weights(file, adapter_name="ink")
        pipeline.set_adapters("ink", 0.6)

    model = load(tiny_checkpoint, styles={"ink": file})
    inked = model(PROMPTS, seed=[1, 2], style="ink", style_scale=0.6, output_type="pt")
    close(inked, with_diffusers(tiny_checkpoint, change))
