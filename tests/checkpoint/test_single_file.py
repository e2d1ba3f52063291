"""A single file gives the picture of the folder that it was made from, bit for bit."""

import functools
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.loaders import single_file_utils as theirs
from huggingface_hub import constants
from ldm import KINDS, build_toy, flattened, stability, write_file
from tiny import load
from torch import Tensor

from sdxs import CheckpointError
from sdxs.checkpoint import ldm_names
from sdxs.checkpoint.parts import load_parts

Toys = Callable[[str], Path]
Wanted = Callable[[str], Tensor]


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Toys:
    root = tmp_path_factory.mktemp("toys")
    return functools.cache(lambda kind: build_toy(root / kind, kind))


@pytest.fixture(scope="module")
def wanted(toys: Toys) -> Wanted:
    """The picture of a toy."""
    return functools.cache(lambda kind: picture(toys(kind)))


def picture(checkpoint: Any) -> Tensor:
    return load(checkpoint, safety=False)("a red house", seed=1, size=64, output_type="pt")


def refused(place: Path, *words: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        load(place)
    said = str(caught.value)
    assert "\n" not in said and len(said) < 600 and str(place.parent) in said
    assert all(word in said for word in words), said


SIDE = {"sd1": 512, "sd2": 768, "sdxl": 1024, "sdxs": 512, "sdxs09": 512}
WAYS = [
    *((kind, stability, {}) for kind in KINDS),
    *((kind, flattened, {}) for kind in ("sd1", "sdxl", "sdxs")),
    *((kind, stability, {"gaps": True}) for kind in ("sdxs", "sdxs09")),
]


@pytest.mark.parametrize(
    ("kind", "names", "how"), WAYS, ids=[f"{k}-{n.__name__}{'-gaps' * bool(h)}" for k, n, h in WAYS]
)
def test_the_folders_picture(
    kind: str, names: Any, how: Any, toys: Toys, wanted: Wanted, tmp_path: Path
) -> None:
    folder = toys(kind)
    file = write_file(names(folder, **how), tmp_path / "it.safetensors", folder)
    model = load(file, safety=False)
    assert model.size == (SIDE[kind], SIDE[kind]) and wanted(kind).std() > 0.01
    assert torch.equal(model("a red house", seed=1, size=64, output_type="pt"), wanted(kind))


@pytest.mark.parametrize("kind", ["sd1", "sd2", "sdxl"])
def test_names_are_read_as_diffusers_reads_them(kind: str, toys: Toys) -> None:
    folder = toys(kind)
    stored = stability(folder)

    def config(part: str) -> dict[str, Any]:
        return json.loads((folder / part / "config.json").read_text())

    def ours(names: Any, prefix: str) -> dict[str, Tensor]:
        own = {key.removeprefix(prefix): key for key in stored if key.startswith(prefix)}
        rule = names(own)
        return {name: take(stored[own[key]]) for key in own for name, take in rule(key)}

    unet = theirs.convert_ldm_unet_checkpoint(stored, config("unet"))
    vae = theirs.convert_ldm_vae_checkpoint(stored, config("vae"))
    pairs = [
        (ours(ldm_names.unet_names, "model.diffusion_model."), unet),
        (ours(ldm_names.autoencoder_names, "first_stage_model."), vae),
    ]
    prefixes = {"sd2": "cond_stage_model.model.", "sdxl": "conditioner.embedders.1.model."}
    if prefix := prefixes.get(kind):
        encoders = load_parts(folder, torch.float32)[0].text_encoders
        found = theirs.convert_open_clip_checkpoint([*encoders.values()][-1], stored, prefix)
        pairs.append((ours(ldm_names.text_names, prefix), found))
    for mine, wanted in pairs:
        assert mine.keys() == wanted.keys()
        assert all(torch.equal(mine[name], wanted[name]) for name in wanted)


def test_what_diffusers_does_not_read_either(toys: Toys, wanted: Wanted, tmp_path: Path) -> None:
    """Averages, tables of the schedule, the last layer of SD 2's text encoder."""
    stored = stability(toys("sd2"))
    text, layer = "cond_stage_model.model.", "transformer.resblocks."
    last = {
        key.replace("resblocks.1.", "resblocks.23."): tensor.clone()
        for key, tensor in stored.items()
        if key.startswith(f"{text}{layer}1.")
    }
    more = {
        "model_ema.decay": torch.zeros(()),
        "betas": torch.zeros(1000, dtype=torch.float64),
        f"{text}logit_scale": torch.zeros(()),
        f"{text}text_projection": torch.zeros(128, 128),
    }
    file = write_file(stored | last | more, tmp_path / "it.safetensors", toys("sd2"))
    assert torch.equal(picture(file), wanted("sd2"))


def test_taesd_with_its_own_names(toys: Toys, wanted: Wanted, tmp_path: Path) -> None:
    """Its decoder begins with a clamp, which has a number there and none in diffusers."""
    stored = {}
    for key, tensor in flattened(toys("sdxs")).items():
        found = re.fullmatch(r"vae\.(encoder|decoder)\.layers\.(\d+)\.(.+)", key)
        if found:
            key = f"vae.{found[1]}.{int(found[2]) + (found[1] == 'decoder')}.{found[3]}"
        stored[key] = tensor
    file = write_file(stored, tmp_path / "it.safetensors", toys("sdxs"))
    assert torch.equal(picture(file), wanted("sdxs"))


def test_both_decoders(toys: Toys, tmp_path: Path) -> None:
    stored = flattened(toys("sdxs"))
    large = {k.replace("vae.", "vae_large."): t for k, t in flattened(toys("sd1")).items()}
    stored |= {key: tensor for key, tensor in large.items() if key.startswith("vae_large.")}
    model = load(write_file(stored, tmp_path / "it.safetensors", toys("sdxs")))
    assert model.decoders == ("tiny", "large")


def test_a_scheduler_beside_the_file(toys: Toys, wanted: Wanted, tmp_path: Path) -> None:
    """For what a file does not say: whether it is of one step, or of which prediction."""
    file = write_file(stability(toys("sd1")), tmp_path / "it.safetensors", toys("sd1"))
    shutil.copytree(toys("sdxs") / "scheduler", tmp_path / "scheduler")
    assert not torch.equal(picture(file), wanted("sd1"))


def test_a_folder_with_one_file(toys: Toys, wanted: Wanted, tmp_path: Path) -> None:
    file = write_file(stability(toys("sdxs")), tmp_path / "it" / "any name.safetensors")
    shutil.copytree(toys("sdxs") / "tokenizer", file.parent / "tokenizer")
    assert torch.equal(picture(file.parent), wanted("sdxs"))
    shutil.copy(file, file.parent / "another.safetensors")
    refused(file.parent, "several files", "another.safetensors, any name.safetensors")


def test_the_tokenizer(
    toys: Toys, wanted: Wanted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CLIP's, in the Hub's cache or in the file's folder; OpenCLIP pads with another word."""
    for kind in ("sdxs", "sd2", "sdxl"):
        file = write_file(stability(toys(kind)), tmp_path / kind / "it.safetensors")
        refused(file, "brings no tokenizer", "hf download openai/clip-vit-large-patch14")
        clip = tmp_path / kind / "hub/models--openai--clip-vit-large-patch14"
        (clip / "refs").mkdir(parents=True)
        (clip / "refs/main").write_text("abc")
        shutil.copytree(toys("sdxs") / "tokenizer", clip / "snapshots/abc")
        with monkeypatch.context() as patched:
            patched.setattr(constants, "HF_HUB_CACHE", str(clip.parent))
            assert torch.equal(picture(file), wanted(kind))
        for part in (toys("sdxs") / "tokenizer").iterdir():
            shutil.copy(part, file.parent)
        assert torch.equal(picture(file), wanted(kind))


def test_what_is_no_checkpoint(toys: Toys, tmp_path: Path) -> None:
    one = {"weight": torch.zeros(3, 3)}
    shutil.copytree(toys("sdxs") / "tokenizer", tmp_path / "tokenizer")
    for key, why in (
        ("lora_unet_x.lora_up.weight", "a LoRA: give it as a style"),
        ("control_model.input_hint_block.0.weight", "a ControlNet: give it as a control"),
        ("double_blocks.0.img_attn.qkv.weight", "Flux"),
        ("something", "no kind that is known"),
    ):
        file = write_file({key: one["weight"]}, tmp_path / "it.safetensors")
        refused(file, "no whole checkpoint", why)
    stored = stability(toys("sd1"))
    refused(write_file({k: t for k, t in stored.items() if "first_stage" not in k}, file), "no vae")
    key = "model.diffusion_model.input_blocks.1.0.in_layers.2.bias"
    rest = {name: tensor for name, tensor in stored.items() if name != key}
    refused(write_file(rest, file), "down_blocks.0.resnets.0.conv1.bias missing")
    refused(write_file({**stored, key: torch.zeros(3)}, file), f"{key[:20]}", "shape (3,)")
    refused(write_file({**stored, f"{key}x": torch.zeros(3)}, file), f"{key}x"[:30], "surplus")


@pytest.mark.parametrize("name", ["model.ckpt", "model.pt", "model.bin", "model.pth"])
def test_pickles(name: str, toys: Toys, tmp_path: Path) -> None:
    file = tmp_path / name
    torch.save(stability(toys("sdxs")), file)
    refused(file, name, "is a pickle, which can run code", "as .safetensors")
    refused(tmp_path, name, "is a pickle, which can run code", "as .safetensors")


def test_other_files(tmp_path: Path) -> None:
    for name, why in (("model.gguf", "as .safetensors"), ("model_index.json", "the folder of")):
        (tmp_path / name).write_text("{}")
        refused(tmp_path / name, name, why)


def test_names_of_files_are_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in ("none.safetensors", "owner/none.safetensors"):
        with pytest.raises(CheckpointError, match="there is no file or folder"):
            load(path)  # type: ignore[arg-type]
