"""Low-rank additions in training: into a frozen U-Net, out to a style file, merged for good.

`sdxs.model.styles` reads the files again and has rows of a batch wear them; here one U-Net has one.
"""

from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from sdxs.checkpoint.lora_file import read_style
from sdxs.checkpoint.tensors import read_tensors
from sdxs.model.styles import LowRank
from sdxs.train.run import loop, stage

NAME = "style"
FILE = "pytorch_lora_weights.safetensors"
TARGETS = r".*(to_q|to_k|to_v|to_out\.0|proj_in|proj_out|conv1|conv2|conv_in|conv_out)"
RANK = 5  # of every layer of a style; its file then has about half a megabyte at preset S


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


def save_style(unet: UNet2DConditionModel, folder: Path) -> None:
    """Leave a U-Net's LoRA in a folder, float16, as diffusers saves one, its alpha noted."""
    weights = get_peft_model_state_dict(unet, adapter_name=NAME)
    layers = layers_of(unet)
    one = next(iter(layers.values()))
    facts = {
        "r": one.r[NAME], "lora_alpha": one.lora_alpha[NAME], "target_modules": sorted(layers)
    }  # fmt: skip
    StableDiffusionPipeline.save_lora_weights(
        folder,
        unet_lora_layers={name: weight.half().contiguous() for name, weight in weights.items()},
        unet_lora_adapter_metadata=facts,
        weight_name=FILE,
    )


def begin_with(unet: UNet2DConditionModel, style: Path) -> None:
    """Put a style of the same layers and rank into a U-Net's LoRA. Raises TrainingError."""
    layers = layers_of(unet)
    names = nn.Module()
    for name, part in layers.items():
        put(names, name, part.get_base_layer())
    found = read_style(style, {"unet": names})["unet"]
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
def merge_style(unet: UNet2DConditionModel, style: Path) -> None:
    """Add a style, at full strength, to a U-Net's own weights."""
    for layer, addition in read_style(style, {"unet": unet})["unet"].items():
        weight = unet.get_submodule(layer).weight
        assert isinstance(weight, Tensor)
        weight += product(addition).to(weight)


def fingerprint(style: Path) -> str:
    """Tells one style from another. Raises CheckpointError for a damaged one."""
    return loop.fingerprint_of(read_file(style)[0])


def read_file(style: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A style's matrices by name, and the notes beside them. Raises CheckpointError."""
    return read_tensors(style / FILE)


def learnt_below(style: Path, unet: nn.Module) -> float:
    """Share of T from which down the style of a run was learnt, by this multi-step model's U-Net.

    Raises TrainingError if it was another one's.
    """
    facts = stage.read(style)
    if facts.get("teacher") != loop.fingerprint(unet):
        raise loop.TrainingError(f"{style} was made for another multi-step model: name its own")
    return float(facts.get("below", 1.0))


def product(addition: LowRank) -> Tensor:
    """What the two thin matrices come to: a layer's weight, (out, in) or (out, in, k, k)."""
    down, up = addition.down.float(), addition.up.float()
    return (up.flatten(1) @ down.flatten(1)).view(up.shape[0], *down.shape[1:])
