"""Low-rank additions in training: into a frozen U-Net, out to a style file, merged for good.

`sdxs.model.styles` reads the files again and has rows of a batch wear them; here one U-Net has one.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from sdxs.checkpoint.lora_file import read_style
from sdxs.checkpoint.tensors import read_tensors
from sdxs.model.styles import LowRank, Style
from sdxs.train.run import loop

NAME = "style"
FILE = "pytorch_lora_weights.safetensors"
TARGETS = r".*(to_q|to_k|to_v|to_out\.0|proj_in|proj_out|conv1|conv2|conv_in|conv_out)"
RANK = 5  # of every layer of a style; its file then has about half a megabyte at preset S


def named(style: Style) -> dict[str, Tensor]:
    """A style's matrices, as a file names them."""
    return {
        f"{network}.{layer}.lora_{end}.weight": matrix
        for network, parts in style.items()
        for layer, each in parts.items()
        for end, matrix in (("A", each.down), ("B", each.up))
    }


def lora(
    unet: UNet2DConditionModel, rank: int, targets: str = TARGETS, name: str = NAME
) -> list[nn.Parameter]:
    """Give a U-Net a LoRA that changes nothing yet, and freeze the rest; the LoRA's weights.

    targets: an expression that the names of its layers match. name: of the LoRA, in a state dict.
    """
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=targets)
    inject_adapter_in_model(config, unet.requires_grad_(False), name)
    return [weight for weight in unet.parameters() if weight.requires_grad]


def layers_of(unet: nn.Module) -> dict[str, LoraLayer]:
    """The layers that have a LoRA, by name."""
    return {name: part for name, part in unet.named_modules() if isinstance(part, LoraLayer)}


def merged(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """The U-Net itself, plain, with the LoRA in its weights."""
    for name, part in layers_of(unet).items():
        part.merge()  # type: ignore[operator]
        unet.set_submodule(name, part.get_base_layer())
    return unet


def save_style(unet: UNet2DConditionModel, folder: Path, heard: Style | None = None) -> None:
    """Leave a U-Net's LoRA in a folder, float16, as diffusers saves one, its alpha noted.

    heard: what goes with it for text encoders, whose strength is in its numbers.
    """
    weights = get_peft_model_state_dict(unet, adapter_name=NAME)
    layers = layers_of(unet)
    one = next(iter(layers.values()))
    facts = {
        "r": one.r[NAME], "lora_alpha": one.lora_alpha[NAME], "target_modules": sorted(layers)
    }  # fmt: skip
    told: dict[str, Any] = {
        "unet_lora_layers": {name: part.half().contiguous() for name, part in weights.items()},
        "unet_lora_adapter_metadata": facts,
    }
    for network, parts in (heard or {}).items():
        told[f"{network}_lora_layers"] = {
            name.partition(".")[2]: matrix.half().contiguous()
            for name, matrix in named({network: parts}).items()
        }
        ranks = {layer: len(each.down) for layer, each in parts.items()}
        first = next(iter(ranks.values()))
        told[f"{network}_lora_adapter_metadata"] = {
            "r": first, "lora_alpha": first, "target_modules": sorted(ranks),
            "rank_pattern": ranks, "alpha_pattern": ranks,
        }  # fmt: skip
    StableDiffusionXLPipeline.save_lora_weights(folder, weight_name=FILE, **told)


def begin_with(
    unet: UNet2DConditionModel, style: Path, heard_by: Mapping[str, nn.Module] | None = None
) -> None:
    """Put a style of the same layers and rank into a U-Net's LoRA.

    heard_by: text encoders, by the names of their folders, for which it may hold something, too.
    Raises TrainingError, CheckpointError.
    """
    layers = layers_of(unet)
    names = nn.Module()
    for name, part in layers.items():
        put(names, name, part.get_base_layer())
    found = read_style(style, {"unet": names, **(heard_by or {})})["unet"]
    if found.keys() != layers.keys():
        raise loop.TrainingError(f"{style} is for other layers than those that are trained here")
    for name, part in layers.items():
        for matrix, given in (("lora_A", found[name].down), ("lora_B", found[name].up)):
            weight = getattr(part, matrix)[NAME].weight
            if weight.shape != given.shape:
                raise loop.TrainingError(f"{style} has another rank: give --rank {len(given)}")
            weight.data.copy_(given)


def put(tree: nn.Module, name: str, part: nn.Module) -> None:
    """Hang a module into a tree of empty ones, by its dotted name."""
    *stem, leaf = name.split(".")
    for step in stem:
        if step not in tree._modules:
            tree.add_module(step, nn.Module())
        tree = tree.get_submodule(step)
    tree.add_module(leaf, part)


@torch.no_grad()
def merge(network: nn.Module, additions: Mapping[str, LowRank]) -> None:
    """Add a style's part, as strong as it is, to a network's own weights."""
    for layer, addition in additions.items():
        weight = network.get_submodule(layer).weight
        assert isinstance(weight, Tensor)
        weight += product(addition).to(weight)


def fingerprint(style: Path) -> str:
    """Tells one style from another. Raises CheckpointError for a damaged one."""
    return loop.fingerprint_of(read_file(style)[0])


def read_file(style: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A style's matrices by name, and the notes beside them. Raises CheckpointError."""
    return read_tensors(style / FILE)


def product(addition: LowRank) -> Tensor:
    """What the two thin matrices come to: a layer's weight, (out, in) or (out, in, k, k)."""
    down, up = addition.down.float(), addition.up.float()
    return (up.flatten(1) @ down.flatten(1)).view(up.shape[0], *down.shape[1:])
