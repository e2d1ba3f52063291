"""Shards, variants, surplus tensors, controls as files: what is read of what people have."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from edits import config
from ldm import unet_name
from safetensors.torch import load_file, save_file
from shards import split
from tiny import build_control, drawing, load

from sdxs import SDXS, CheckpointError, SDXSError
from sdxs.checkpoint.variants import chosen

Edit = Callable[..., Path]
PARTS = [
    *((part, "diffusion_pytorch_model") for part in ("unet", "vae", "vae_large")),
    ("text_encoder", "model"),
]


def picture(folder: Path) -> torch.Tensor:
    return load(folder, safety=False)("a red house", seed=1, output_type="pt")


@pytest.fixture(scope="module")
def wanted(tiny_checkpoint: Path) -> torch.Tensor:
    return picture(tiny_checkpoint)


def refused(folder: Path, *words: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        load(folder)
    said = str(caught.value)
    assert "\n" not in said and len(said) < 600 and str(folder) in said
    assert all(word in said for word in words), said


def test_shards_of_every_network(edited: Edit, wanted: torch.Tensor) -> None:
    for part, stem in PARTS:
        split(edited() / part / f"{stem}.safetensors", count=3)
    assert torch.equal(picture(edited()), wanted)


@pytest.mark.parametrize(
    "names", ["{stem}.fp16{number}.safetensors", "{stem}{number}.fp16.safetensors"]
)
def test_shards_in_16_bits(names: str, edited: Edit, wanted: torch.Tensor) -> None:
    file = edited() / "unet/diffusion_pytorch_model.safetensors"
    split(file, names=names, index=f"{file.name}.index.fp16.json")
    assert torch.equal(picture(edited()), wanted)


def test_an_index_that_does_not_fit(edited: Edit) -> None:
    index = split(edited() / "unet/diffusion_pytorch_model.safetensors")
    whole = json.loads(index.read_text())
    key = "conv_in.bias"
    home = whole["weight_map"][key]
    other = next(file for file in whole["weight_map"].values() if file != home)

    def spoiled(**changes: object) -> None:
        weight_map = {**whole["weight_map"], **changes}
        index.write_text(json.dumps({**whole, "weight_map": weight_map}))

    spoiled(**{key: other})
    refused(edited(), key, home, other, "fetch both again")
    spoiled(new=other)
    refused(edited(), "lacks new", other)
    spoiled(**{key: "diffusion_pytorch_model-00009-of-00009.safetensors"})
    refused(edited(), "00009-of-00009", "missing")
    for outside in (
        "../unet/x.safetensors",
        "/etc/passwd",
        "..",
        "x\\y.safetensors",
        3,
        None,
        [],
        {},
    ):
        spoiled(**{key: outside})
        refused(edited(), "no safetensors file beside it")
    index.write_text(json.dumps({"weight_map": []}))
    refused(edited(), "no weight_map")
    index.write_text(json.dumps(whole))
    (index.parent / other).unlink()
    refused(edited(), other, "missing")


@pytest.mark.parametrize("variant", ["bf16", "non_ema", "fp32"])
def test_the_only_variant(variant: str, edited: Edit, wanted: torch.Tensor) -> None:
    file = edited() / "unet/diffusion_pytorch_model.safetensors"
    file.rename(file.with_suffix(f".{variant}.safetensors"))
    assert torch.equal(picture(edited()), wanted)
    other = file.with_suffix(".ema.safetensors")
    other.write_bytes(file.with_suffix(f".{variant}.safetensors").read_bytes())
    refused(edited(), variant, "ema.safetensors", "name the one that is meant")


def test_which_files_are_chosen() -> None:
    usual, half = "m.safetensors", "m.fp16.safetensors"
    shards = ["m-00001-of-00002.safetensors", "m-00002-of-00002.safetensors"]
    index = "m.safetensors.index.json"
    assert chosen([half, *shards, index, usual, "m.non_ema.safetensors"], "m") == [usual]
    assert chosen([half, *shards, index], "m") == [index, *shards]
    assert chosen([half, *shards], "m") == [half]  # without an index they are of no use
    assert chosen(["m.bin", "other.safetensors", "mm.safetensors"], "m") == []


def test_a_mark_before_a_config(edited: Edit, wanted: torch.Tensor) -> None:
    """As some editors write UTF-8, in every file of settings."""
    for file in edited().rglob("*.json"):
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert torch.equal(picture(edited()), wanted)


def test_a_text_encoder_of_no_class(edited: Edit, wanted: torch.Tensor) -> None:
    file = edited() / "text_encoder/config.json"
    with config(file) as settings:
        settings.pop("architectures")
    assert torch.equal(picture(edited()), wanted)
    with config(file) as settings:
        settings["model_type"] = "t5"
    refused(edited(), "text_encoder/config.json names no class", "give it architectures")
    with config(edited() / "unet/config.json") as settings:
        settings.pop("_class_name")
    refused(edited(), "unet/config.json names no class", "_class_name")


def test_surplus_tensors(edited: Edit, wanted: torch.Tensor) -> None:
    """Those without a use are passed over, another is described."""
    file = edited() / "text_encoder/model.safetensors"
    more = {
        "text_model.embeddings.position_ids": torch.arange(16)[None],
        "logit_scale": torch.zeros(()),
        "text_projection.weight": torch.zeros(32, 32),
    }
    save_file({**load_file(file), **more}, file)
    assert torch.equal(picture(edited()), wanted)
    save_file({**load_file(file), "odd": torch.zeros(2, 3)}, file)
    refused(edited(), "odd is surplus (F32, (2, 3))", "no tensor of the network")


@pytest.fixture
def followed(tiny_checkpoint: Path, tmp_path: Path) -> Callable[[Path], torch.Tensor]:
    def picture(control: Path) -> torch.Tensor:
        model: SDXS = load(tiny_checkpoint, controls={"it": control}, safety=False)
        return model("a house", seed=1, control="it", control_image=drawing(), output_type="pt")

    return picture


@pytest.mark.parametrize("mid", [{}, {"mid_block_type": "UNetMidBlock2DCrossAttn"}])
def test_controls(mid: dict, followed: Callable[[Path], torch.Tensor], tmp_path: Path) -> None:
    """A file as well as a folder, in either names, and in shards."""
    folder = build_control(tmp_path / "folder", **mid)
    wanted = followed(folder)
    file = folder / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    ldm = {unet_name(key, 2): tensor for key, tensor in tensors.items()}
    prefixed = {f"control_model.{key}": tensor for key, tensor in ldm.items()}
    for number, names in enumerate((tensors, ldm, prefixed)):
        single = tmp_path / str(number) / "any.safetensors"
        single.parent.mkdir()
        save_file(names, single)
        assert torch.equal(followed(single), wanted)
        assert torch.equal(followed(single.parent), wanted)
    split(file)
    assert torch.equal(followed(folder), wanted)


def test_no_control(followed: Callable[[Path], torch.Tensor], tmp_path: Path) -> None:
    (tmp_path / "control.pth").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"control\.pth is a pickle, which can run code"):
        followed(tmp_path / "control.pth")
    file = tmp_path / "lora.safetensors"
    save_file({"lora_unet_x.lora_up.weight": torch.zeros(3, 3)}, file)
    with pytest.raises(CheckpointError, match="is no ControlNet, it is a LoRA"):
        followed(file)


def test_too_little_memory_is_no_damage(edited: Edit, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large(tensor: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")

    monkeypatch.setattr("sdxs.checkpoint.weights.whole", too_large)
    with pytest.raises(SDXSError, match=r"cpu in float32 fails \(too little memory\): end other"):
        SDXS.load(edited(), device="cpu", dtype="float32")
