"""LoRAs for the tests, of a tiny network, and what they are compared with."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

PROMPTS = ["a red house", "a big blue tree"]
UNET_TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "conv1", "proj_in", "time_emb_proj", "conv_in"]
TEXT_TARGETS = ["q_proj", "out_proj", "fc1"]


def make_lora(
    network: Any, targets: list[str], *, alpha: float = 8, std: float = 0.2, **settings: Any
) -> Any:
    """A PEFT model of a network, with both matrices random."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(5)
    config = LoraConfig(r=4, lora_alpha=alpha, target_modules=targets, **settings)
    model = get_peft_model(network, config)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data.normal_(std=std)
    return model


def lora_of_unet(checkpoint: Path, targets: list[str] = UNET_TARGETS, **settings: Any) -> Any:
    """The same of a checkpoint's U-Net."""
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(checkpoint / "unet")
    return make_lora(unet, targets, **settings)


def lora_of_text(checkpoint: Path, targets: list[str] = TEXT_TARGETS, **settings: Any) -> Any:
    """And of its text encoder."""
    from transformers import CLIPTextModel

    encoder = CLIPTextModel.from_pretrained(checkpoint / "text_encoder")
    return make_lora(encoder, targets, **settings)


def lora_of_text_2(checkpoint: Path, targets: list[str] = TEXT_TARGETS, **settings: Any) -> Any:
    """And of SDXL's second one."""
    from transformers import CLIPTextModelWithProjection

    encoder = CLIPTextModelWithProjection.from_pretrained(checkpoint / "text_encoder_2")
    return make_lora(encoder, targets, **settings)


def loras_of(checkpoint: Path, targets: list[str] = UNET_TARGETS, **settings: Any) -> list[Any]:
    """PEFT models of the U-Net and of each text encoder."""
    loras = [lora_of_unet(checkpoint, targets, **settings), lora_of_text(checkpoint, **settings)]
    if (checkpoint / "text_encoder_2").is_dir():
        loras.append(lora_of_text_2(checkpoint, **settings))
    return loras


def layers_of(lora: Any) -> Iterator[tuple[str, str, torch.Tensor]]:
    """Layer, "A" or "B", matrix: of a PEFT model."""
    for key, tensor in lora.state_dict().items():
        layer, found, rest = key.removeprefix("base_model.model.").partition(".lora_")
        if found:
            yield layer, rest[0], tensor


def kohya(network: Any, prefix: str, alpha: float) -> dict[str, torch.Tensor]:
    """The matrices of a PEFT model under kohya's names."""
    out = {}
    for layer, matrix, tensor in layers_of(network):
        name = prefix + layer.replace(".", "_")
        out[f"{name}.lora_{'down' if matrix == 'A' else 'up'}.weight"] = tensor
        out[f"{name}.alpha"] = torch.tensor(alpha)
    return out


class Dialect(NamedTuple):
    """How a program names what it saves: by network, by layer, by matrix."""

    prefixes: tuple[str, ...]
    renamed: Callable[[str], str] = str  # a layer of the U-Net
    ends: tuple[str, str] = (".lora_down.weight", ".lora_up.weight")
    alone: bool = False  # for U-Nets alone

    def of(self, loras: list[Any], alpha: float | None) -> dict[str, torch.Tensor]:
        """The tensors of PEFT models of the U-Net and the text encoders, with alphas or without."""
        tensors = {}
        for lora, prefix in zip(loras, self.prefixes, strict=False):
            text = hasattr(lora.config, "vocab_size")
            for layer, matrix, tensor in layers_of(lora):
                name = layer if text else self.renamed(layer)
                if text and not layer.startswith("text_model"):
                    name = f"text_model.{layer}"  # as before transformers 5
                name = prefix + (name.replace(".", "_") if prefix.endswith("_") else name)
                tensors[name + self.ends[matrix == "B"]] = tensor.contiguous()
                if alpha is not None:
                    tensors[f"{name}.alpha"] = torch.tensor(alpha)
        return tensors


def dialects(depth: int) -> dict[str, Dialect]:
    """For U-Nets with so many layers in a block."""

    def theirs(layer: str) -> str:
        return stability(layer, depth)

    a_and_b = (".lora_A.weight", ".lora_B.weight")
    comfy = ("diffusion_model.", *(f"text_encoders.clip_{x}.transformer." for x in "lg"))
    return {
        "kohya": Dialect(("lora_unet_", "lora_te_", "lora_te2_")),
        "kohya for SDXL": Dialect(("lora_unet_", "lora_te1_", "lora_te2_"), theirs),
        "LyCORIS": Dialect(("lycoris_",), alone=True),
        "ComfyUI": Dialect(comfy, theirs),
        "ComfyUI, A and B": Dialect(comfy, theirs, a_and_b),
        "OneTrainer": Dialect(("lora_unet.", "lora_te1.", "lora_te2.")),
        "OneTrainer, OMI": Dialect(("unet.", "clip_l.", "clip_g."), theirs),
        "diffusers": Dialect(("unet.", "text_encoder.", "text_encoder_2."), ends=a_and_b),
        "diffusers, 2023": Dialect(
            ("unet.", "text_encoder.", "text_encoder_2."),
            ends=(".lora.down.weight", ".lora.up.weight"),
        ),
        "diffusers, U-Net": Dialect(("",), ends=a_and_b, alone=True),
    }


def places(depth: int) -> Iterator[tuple[str, str]]:
    """A U-Net in diffusers' words, and in those of its publisher, who numbers it through."""
    yield from {"conv_in": "input_blocks.0.0", "conv_out": "out.2"}.items()
    for number in (1, 2):
        yield f"time_embedding.linear_{number}", f"time_embed.{2 * number - 2}"
        yield f"add_embedding.linear_{number}", f"label_emb.0.{2 * number - 2}"
    for block in range(4):
        first = (depth + 1) * block
        for layer in range(depth + 1):  # of which the way down has one less, and a halving
            down, up = f"input_blocks.{first + layer + 1}", f"output_blocks.{first + layer}"
            yield f"down_blocks.{block}.resnets.{layer}", f"{down}.0"
            yield f"down_blocks.{block}.attentions.{layer}", f"{down}.1"
            yield f"up_blocks.{block}.resnets.{layer}", f"{up}.0"
            yield f"up_blocks.{block}.attentions.{layer}", f"{up}.1"
        yield f"down_blocks.{block}.downsamplers.0.conv", f"input_blocks.{first + depth + 1}.0.op"
        yield f"up_blocks.{block}.upsamplers.0", f"output_blocks.{first + depth}.2"
    for number, part in enumerate(("resnets.0", "attentions.0", "resnets.1")):
        yield f"mid_block.{part}", f"middle_block.{number}"


STABILITY_RESNET = {
    "conv1": "in_layers.2",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}


def stability(layer: str, depth: int) -> str:
    """A U-Net's layer in Stability's words."""
    for ours, theirs in places(depth):
        if layer == ours or layer.startswith(f"{ours}."):
            rest = layer.removeprefix(ours).removeprefix(".")
            return f"{theirs}.{STABILITY_RESNET.get(rest, rest)}".removesuffix(".")
    raise KeyError(layer)


def close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert (ours - theirs).abs().max() < 1e-4


def lora_file(
    checkpoint: Path, file: Path, dialect: str = "kohya", parts: slice = slice(3)
) -> Path:
    """A LoRA of the U-Net and the text encoders of a checkpoint, or of some of them."""
    from safetensors.torch import save_file

    named = dialects(2)[dialect]
    named = named._replace(prefixes=named.prefixes[parts])
    loras = loras_of(checkpoint, ["to_q", "to_v", "to_out.0"], std=0.3)[parts]
    save_file({k: v.clone() for k, v in named.of(loras, 4.0).items()}, file)
    return file
