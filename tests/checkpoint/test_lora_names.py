"""LoRA files under the names of other years and other programs paint as their own library does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loras import PROMPTS, UNET_TARGETS, close, kohya, lora_of_text, lora_of_unet, make_lora
from safetensors.torch import save_file
from tiny import build_checkpoint, load

from checkpoint.test_lora_file import close_to_diffusers, with_diffusers
from sdxs.checkpoint.lora_names import _ENDS, _PREFIXES


def test_a_key_is_read_in_one_way_alone() -> None:
    prefixes = [prefix for names in _PREFIXES.values() for prefix in names]
    assert not [(a, b) for a in prefixes for b in prefixes if a != b and a.startswith(b)]
    assert not [(a, b) for a in _ENDS for b in _ENDS if a != b and a.endswith(b)]


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


def test_a_kohya_file(tiny_checkpoint: Path, unet_lora: Any, tmp_path: Path) -> None:
    text = lora_of_text(tiny_checkpoint, ["q_proj", "out_proj", "fc1"])
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


def places() -> Iterator[tuple[str, str]]:
    """SDXL's U-Net in diffusers' words, and in those of its publisher, who numbers it through."""
    yield from {"conv_in": "input_blocks.0.0", "conv_out": "out.2"}.items()
    for number in (1, 2):
        yield f"time_embedding.linear_{number}", f"time_embed.{2 * number - 2}"
        yield f"add_embedding.linear_{number}", f"label_emb.0.{2 * number - 2}"
    for block in range(3):
        for layer in range(3):  # of which the way down has two, and a halving
            down, up = f"input_blocks.{3 * block + layer + 1}", f"output_blocks.{3 * block + layer}"
            yield f"down_blocks.{block}.resnets.{layer}", f"{down}.0"
            yield f"down_blocks.{block}.attentions.{layer}", f"{down}.1"
            yield f"up_blocks.{block}.resnets.{layer}", f"{up}.0"
            yield f"up_blocks.{block}.attentions.{layer}", f"{up}.1"
        yield f"down_blocks.{block}.downsamplers.0.conv", f"input_blocks.{3 * block + 3}.0.op"
        yield f"up_blocks.{block}.upsamplers.0", f"output_blocks.{3 * block + 2}.2"
    for number, part in enumerate(("resnets.0", "attentions.0", "resnets.1")):
        yield f"mid_block.{part}", f"middle_block.{number}"


STABILITY = dict(places())
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
    from transformers import CLIPTextModelWithProjection

    checkpoint = build_checkpoint(tmp_path / "sdxl", kind="sdxl")
    linears = ["linear_1", "linear_2", "ff.net.0.proj", "ff.net.2", "proj_out"]
    convolutions = ["conv_out", "conv2", "conv_shortcut", "conv"]
    two = CLIPTextModelWithProjection.from_pretrained(checkpoint / "text_encoder_2")
    many = UNET_TARGETS + linears + convolutions  # so many that less of each will do
    text = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]
    weights = {
        **kohya(lora_of_unet(checkpoint, many, std=0.1), "lora_unet_", 2, stability),
        **kohya(lora_of_text(checkpoint, text), "lora_te1_text_model_", 2),
        **kohya(make_lora(two, text), "lora_te2_", 2),
    }
    assert {"lora_unet_input_blocks_3_0_op.alpha", "lora_unet_label_emb_0_0.alpha"} <= set(weights)
    file = tmp_path / "ink.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in weights.items()}, file)
    close_to_diffusers(checkpoint, file, apart=0.1)
