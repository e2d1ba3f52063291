"""LoRAs for the tests, of a tiny network, and what they are compared with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

PROMPTS = ["a red house", "a big blue tree"]
UNET_TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "conv1", "proj_in", "time_emb_proj", "conv_in"]


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


def lora_of_text(checkpoint: Path, targets: list[str], **settings: Any) -> Any:
    """And of its text encoder."""
    from transformers import CLIPTextModel

    encoder = CLIPTextModel.from_pretrained(checkpoint / "text_encoder")
    return make_lora(encoder, targets, **settings)


def kohya(
    network: Any, prefix: str, alpha: float, renamed: Callable[[str], str] = str
) -> dict[str, torch.Tensor]:
    """The matrices of a PEFT model under kohya's names."""
    out = {}
    for key, tensor in network.state_dict().items():
        if ".lora_" not in key:
            continue
        layer, _, rest = key.removeprefix("base_model.model.").partition(".lora_")
        name = prefix + renamed(layer).replace(".", "_")
        out[f"{name}.lora_{'down' if rest[0] == 'A' else 'up'}.weight"] = tensor
        out[f"{name}.alpha"] = torch.tensor(alpha)
    return out


def close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert (ours - theirs).abs().max() < 1e-4
