"""LoRA files under the names of other years and other programs paint as their own library does."""

from pathlib import Path
from typing import Any

from loras import PROMPTS, UNET_TARGETS, close, kohya, load, make_lora
from safetensors.torch import save_file
from tiny import build_checkpoint

from checkpoint.test_lora_file import close_to_diffusers, with_diffusers
from sdxs.checkpoint.lora_names import _ENDS, _PREFIXES


def test_a_key_is_read_in_one_way_alone() -> None:
    prefixes = [prefix for names in _PREFIXES.values() for prefix in names]
    assert not [(a, b) for a in prefixes for b in prefixes if a != b and a.startswith(b)]
    assert not [(a, b) for a in _ENDS for b in _ENDS if a != b and a.endswith(b)]


def test_diffusers_files_of_2023(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Attention processors, and a text encoder's projections by their names of then."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel

    unet = make_lora(
        UNet2DConditionModel.from_pretrained(tiny_checkpoint / "unet"),
        ["to_q", "to_k", "to_v", "to_out.0"], alpha=4,
    )  # fmt: skip
    text = make_lora(
        CLIPTextModel.from_pretrained(tiny_checkpoint / "text_encoder"), ["q_proj"], alpha=4
    )
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


def test_a_kohya_file(tiny_checkpoint: Path, unet_lora: Any, tmp_path: Path) -> None:
    from transformers import CLIPTextModel

    text = make_lora(
        CLIPTextModel.from_pretrained(tiny_checkpoint / "text_encoder"),
        ["q_proj", "out_proj", "fc1"],
    )
    file = tmp_path / "ink.safetensors"
    weights = {k: v for k, v in kohya(unet_lora, "lora_unet_", 2).items() if "conv_in" not in k}
    weights |= kohya(text, "lora_te_text_model_", 2)
    save_file({key: tensor.contiguous() for key, tensor in weights.items()}, file)

    def change(pipeline: Any) -> None:
        pipeline.load_lora_weights(file, adapter_name="ink")
        pipeline.set_adapters("ink", 0.6)

    model = load(tiny_checkpoint, ink=file)
    inked = model(PROMPTS, seed=[1, 2], style="ink", style_scale=0.6, output_type="pt")
    close(inked, with_diffusers(tiny_checkpoint, change))


STABILITY = {  # SDXL's U-Net in diffusers' words -> in those of its publisher, and of kohya
    "conv_in": "input_blocks.0.0",
    "down_blocks.0.resnets.0": "input_blocks.1.0",
    "down_blocks.0.resnets.1": "input_blocks.2.0",
    "down_blocks.0.downsamplers.0.conv": "input_blocks.3.0.op",
    "down_blocks.1.resnets.0": "input_blocks.4.0",
    "down_blocks.1.attentions.0": "input_blocks.4.1",
    "down_blocks.1.resnets.1": "input_blocks.5.0",
    "down_blocks.1.attentions.1": "input_blocks.5.1",
    "down_blocks.1.downsamplers.0.conv": "input_blocks.6.0.op",
    "down_blocks.2.resnets.0": "input_blocks.7.0",
    "down_blocks.2.attentions.0": "input_blocks.7.1",
    "down_blocks.2.resnets.1": "input_blocks.8.0",
    "down_blocks.2.attentions.1": "input_blocks.8.1",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
    "up_blocks.0.resnets.0": "output_blocks.0.0",
    "up_blocks.0.attentions.0": "output_blocks.0.1",
    "up_blocks.0.resnets.1": "output_blocks.1.0",
    "up_blocks.0.attentions.1": "output_blocks.1.1",
    "up_blocks.0.resnets.2": "output_blocks.2.0",
    "up_blocks.0.attentions.2": "output_blocks.2.1",
    "up_blocks.0.upsamplers.0": "output_blocks.2.2",
    "up_blocks.1.resnets.0": "output_blocks.3.0",
    "up_blocks.1.attentions.0": "output_blocks.3.1",
    "up_blocks.1.resnets.1": "output_blocks.4.0",
    "up_blocks.1.attentions.1": "output_blocks.4.1",
    "up_blocks.1.resnets.2": "output_blocks.5.0",
    "up_blocks.1.attentions.2": "output_blocks.5.1",
    "up_blocks.1.upsamplers.0": "output_blocks.5.2",
    "up_blocks.2.resnets.0": "output_blocks.6.0",
    "up_blocks.2.resnets.1": "output_blocks.7.0",
    "up_blocks.2.resnets.2": "output_blocks.8.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_out": "out.2",
}
STABILITY_RESNET = {
    "conv1": "in_layers.2",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}


def stability(layer: str) -> str:
    place = next(place for place in STABILITY if layer == place or layer.startswith(f"{place}."))
    rest = layer.removeprefix(place).removeprefix(".")
    return f"{STABILITY[place]}.{STABILITY_RESNET.get(rest, rest)}".removesuffix(".")


def test_a_kohya_file_for_sdxl(tmp_path: Path) -> None:
    """The U-Net's layers in Stability's words, and two text encoders."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    checkpoint = build_checkpoint(tmp_path / "sdxl", kind="sdxl")
    linears = ["linear_1", "linear_2", "ff.net.0.proj", "ff.net.2", "proj_out"]
    convolutions = ["conv_out", "conv2", "conv_shortcut", "conv"]
    unet = UNet2DConditionModel.from_pretrained(checkpoint / "unet")
    one = CLIPTextModel.from_pretrained(checkpoint / "text_encoder")
    two = CLIPTextModelWithProjection.from_pretrained(checkpoint / "text_encoder_2")
    many = UNET_TARGETS + linears + convolutions  # so many that less of each will do
    text = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]
    weights = {
        **kohya(make_lora(unet, many, std=0.1), "lora_unet_", 2, stability),
        **kohya(make_lora(one, text), "lora_te1_text_model_", 2),
        **kohya(make_lora(two, text), "lora_te2_", 2),
    }
    assert {"lora_unet_input_blocks_3_0_op.alpha", "lora_unet_label_emb_0_0.alpha"} <= set(weights)
    file = tmp_path / "ink.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in weights.items()}, file)
    wanted = with_diffusers(checkpoint, lambda pipeline: pipeline.load_lora_weights(file))
    model = load(checkpoint, ink=file)
    close(model(PROMPTS, seed=[1, 2], style="ink", output_type="pt"), wanted)
    assert (model(PROMPTS, seed=[1, 2], output_type="pt") - wanted).abs().max() > 0.1
