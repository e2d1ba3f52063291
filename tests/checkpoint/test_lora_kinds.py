"""What is no plain LoRA is named for what it is; a Tucker core is one, and read."""

from pathlib import Path
from typing import Any

import pytest
import torch
from loras import close, kohya, lora_of_unet
from safetensors.torch import save_file

from sdxs import CheckpointError
from sdxs.checkpoint.lora_file import read_style
from sdxs.checkpoint.parts import load_parts

CONVOLUTION = "down_blocks.0.resnets.0.conv1"
LAYER = "lora_unet_down_blocks_0_resnets_0_conv1"


@pytest.fixture(scope="module")
def networks(tiny_checkpoint: Path) -> dict[str, Any]:
    return {"unet": load_parts(tiny_checkpoint, torch.float32)[0].unet}


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (f"{LAYER}.dora_scale", "DoRA"),
        ("unet.conv_in.lora_magnitude_vector", "DoRA"),
        ("base_model.model.conv_in.lora_magnitude_vector.weight", "DoRA"),
        *((f"{LAYER}.hada_{end}", "LoHa") for end in ("w1_a", "w2_b", "t1")),
        *((f"{LAYER}.lokr_{end}", "LoKr") for end in ("w1", "w2_a", "t2")),
        (f"{LAYER}.a1.weight", "GLoRA"),
        (f"{LAYER}.oft_blocks", "OFT"),
        ("lycoris_conv_in.oft_diag", "OFT"),
        ("base_model.model.conv_in.oft_R.weight", "OFT"),
        (f"{LAYER}.on_input", r"\(IA\)3"),
        ("base_model.model.conv_in.ia3_l", r"\(IA\)3"),
        ("diffusion_model.input_blocks.0.0.diff", "the full difference of layers"),
        ("diffusion_model.input_blocks.0.0.diff_b", "the full difference of biases"),
        ("diffusion_model.out.0.w_norm", "the full difference of biases or norms"),
        ("unet.conv_in.lora_B.bias", "LoRA with biases"),
        ("bundle_emb.cat.clip_l", "an embedding of its own"),
        ("lora_unet_middle_block_7.lora_mid.weight", "names no layer of this model"),
        ("unet.conv_in.weight", "is no part of a LoRA"),
    ],
)
def test_what_it_is(
    key: str, kind: str, networks: dict[str, Any], unet_lora: Any, tmp_path: Path
) -> None:
    """Beside matrices that would be read, as such files have them."""
    file = tmp_path / "it.safetensors"
    save_file({**kohya(unet_lora, "lora_unet_", 2), key: torch.zeros(4, 4)}, file)
    with pytest.raises(CheckpointError, match=kind) as caught:
        read_style(file, networks)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "tensors",
    [{"<cat>": (2, 32)}, {"emb_params": (1, 32)}, {"clip_l": (1, 32), "clip_g": (1, 48)}],
)
def test_an_embedding(tensors: dict[str, Any], networks: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "cat.safetensors"
    save_file({key: torch.zeros(shape) for key, shape in tensors.items()}, file)
    with pytest.raises(CheckpointError, match="an embedding of textual inversion, no LoRA"):
        read_style(file, networks)


def test_a_tucker_core(networks: dict[str, Any], tmp_path: Path) -> None:
    """LyCORIS' LoCon: three convolutions, one after the other, of which the middle one is wide."""
    layer = networks["unet"].get_submodule(CONVOLUTION)
    out, channels = layer.weight.shape[:2]
    torch.manual_seed(0)
    down, core, up = (
        torch.randn(shape) for shape in ((4, channels, 1, 1), (4, 4, 3, 3), (out, 4, 1, 1))
    )
    tensors = {"lora_down.weight": down, "lora_mid.weight": core, "lora_up.weight": up}
    tensors["alpha"] = torch.tensor(2.0)
    file = tmp_path / "it.safetensors"
    save_file({f"{LAYER}.{end}": tensor for end, tensor in tensors.items()}, file)
    addition = read_style(file, networks)["unet"][CONVOLUTION]
    x = torch.randn(2, channels, 8, 8)
    narrow = torch.conv2d(torch.conv2d(torch.conv2d(x, down), core, padding=1), up)
    close(addition(layer, x), narrow / 2)
    for shape in ((4, 4, 1, 1), (4, 3, 3, 3), (4, 4, 3), (5, 4, 3, 3)):
        bad = {**tensors, "lora_mid.weight": torch.zeros(shape)}
        save_file({f"{LAYER}.{end}": tensor for end, tensor in bad.items()}, file)
        with pytest.raises(CheckpointError, match="has the shapes"):
            read_style(file, networks)
    bad = {**tensors, "lora_mid.weight": core * torch.nan}
    save_file({f"{LAYER}.{end}": tensor for end, tensor in bad.items()}, file)
    with pytest.raises(CheckpointError, match="not finite"):
        read_style(file, networks)


@pytest.mark.parametrize("flat", [(), ("A",), ("B",), ("A", "B")])
def test_a_1x1_convolution_is_a_matrix(
    flat: tuple[str, ...], networks: dict[str, Any], tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """proj_in is one or the other, from checkpoint to checkpoint, and so are files of LoRAs."""
    lora = lora_of_unet(tiny_checkpoint, ["proj_in", "to_q"])
    tensors = {}
    for key, tensor in kohya(lora, "lora_unet_", 4).items():
        matrix = "A" if "down" in key else "B"
        if "alpha" not in key and matrix in flat:
            tensor = tensor.flatten(1)
        elif "alpha" not in key:
            tensor = tensor.flatten(1)[..., None, None]
        tensors[key] = tensor
    file = tmp_path / "it.safetensors"
    save_file(tensors, file)
    for layer, addition in read_style(file, networks)["unet"].items():
        module = lora.get_base_model().get_submodule(layer)
        assert addition.down.ndim == module.weight.ndim
        close(
            torch.einsum("or...,ri...->oi...", addition.up, addition.down),
            module.get_delta_weight("default") / 2,
        )
