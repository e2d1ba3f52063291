"""A single file paints what its checkpoint does, bit for bit; other programs read its names."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.loaders import single_file_utils as theirs
from ldm import KINDS, build_toy, large_vae, stability
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny import load

from sdxs.config import EMBEDDED
from sdxs.export.__main__ import main

Ran = Callable[..., tuple[int, str, str]]
NUMBERED = {"sdxs": {"gaps": True}, "sdxs09": {"gaps": True}}  # as tests/ldm.py is told to


@pytest.fixture(autouse=True)
def smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Toys state the sizes of their kind: compared are pictures that are quickly painted."""
    from sdxs.export import single_file

    painted = single_file.SDXS.__call__

    def small(self: Any, prompts: Any, **asked: Any) -> Any:
        return painted(self, prompts, **asked | {"size": 64})

    monkeypatch.setattr(single_file.SDXS, "__call__", small)


def exported(ran: Ran, checkpoint: Path, out: Path, *options: str) -> str:
    """What was printed."""
    status, printed, complaint = ran(
        main, checkpoint, "--to", "single-file", "--out", out, *options
    )
    assert status == 0, complaint
    return printed


def as_tests_name_it(key: str) -> str:
    """Two names that tests/ldm.py writes as diffusers' script does and the models themselves do
    not: upwards attentions of a tiny U-Net's first stage; SDXL's first upsampling."""
    found = re.fullmatch(r"(model\.diffusion_model\.)up_blocks\.0\.attentions\.(\d)\.(.+)", key)
    return f"{found[1]}output_blocks.{found[2]}.1.{found[3]}" if found else key


@pytest.mark.parametrize(
    "kind",
    [pytest.param(each, marks=pytest.mark.slow) if each in ("sd1", "sd2") else each
     for each in KINDS],
)  # fmt: skip
def test_the_same_picture(kind: str, tmp_path: Path, ran: Ran) -> None:
    folder, file = build_toy(tmp_path / "toy", kind), tmp_path / "out/it.safetensors"
    assert "it.safetensors: the same pictures" in exported(ran, folder, file)
    asked: Any = {"seed": 7, "size": 64, "output_type": "pt"}
    assert torch.equal(load(file)("a red ball", **asked), load(folder)("a red ball", **asked))
    wanted = {
        as_tests_name_it(key): tensor
        for key, tensor in stability(folder, **NUMBERED.get(kind, {})).items()
    }
    found = load_file(file)
    if kind == "sdxl":  # which has an attention in the stage before it
        old = "model.diffusion_model.output_blocks.2.1.conv."
        wanted = {key.replace(old, old.replace("2.1", "2.2")): t for key, t in wanted.items()}
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)


@pytest.mark.parametrize("kind", ["sd1", pytest.param("sdxl", marks=pytest.mark.slow)])
def test_diffusers_reads_its_names(kind: str, tmp_path: Path, ran: Ran) -> None:
    folder, file = build_toy(tmp_path / "toy", kind), tmp_path / "it.safetensors"
    exported(ran, folder, file)
    stored = load_file(file)
    for part, convert in (
        ("unet", theirs.convert_ldm_unet_checkpoint),
        ("vae", theirs.convert_ldm_vae_checkpoint),
    ):
        config = json.loads((folder / part / "config.json").read_text())
        (weights,) = (folder / part).glob("*.safetensors")
        wanted, found = load_file(weights), convert(stored, config)
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_in_float16_and_with_both_decoders(tmp_path: Path, ran: Ran) -> None:
    folder, file = build_toy(tmp_path / "toy", "sdxs"), tmp_path / "it.safetensors"
    large_vae(False).save_pretrained(folder / "vae_large")
    printed = exported(ran, folder, file, "--dtype", "float16")
    assert re.search(r"it.safetensors: \d\d\.\d dB", printed)
    with safe_open(file, "pt") as stored:
        assert {stored.get_slice(key).get_dtype() for key in stored.keys()} == {"F16"}  # noqa: SIM118
    for decoder in ("tiny", "large"):
        ours, wanted = (
            np.asarray(load(place)("a red ball", size=64, decoder=decoder)).astype(int)
            for place in (file, folder)
        )
        assert np.square(ours - wanted).mean() < 255**2 / 1000


def test_what_shapes_do_not_tell(tmp_path: Path, ran: Ran) -> None:
    folder = build_toy(tmp_path / "toy", "sdxs", norm_num_groups=16)
    out = tmp_path / "out" / "it.safetensors"
    status, printed, complaint = ran(main, folder, "--to", "single-file", "--out", out)
    assert status == 2 and not printed and not [*out.parent.iterdir()]
    assert "cannot hold" in complaint
    assert "norm_num_groups of the unet is 16 and is read as 32" in complaint


def test_a_file_of_a_file(tmp_path: Path, ran: Ran) -> None:
    """OpenCLIP's padding, which the tokenizer beside the first file does not say."""
    folder, first = build_toy(tmp_path / "toy", "sd2"), tmp_path / "first/it.safetensors"
    first.parent.mkdir()
    save_file(stability(folder), first)
    for part in (build_toy(tmp_path / "clip", "sdxs") / "tokenizer").iterdir():
        shutil.copy(part, first.parent)
    second = tmp_path / "second/it.safetensors"
    assert "the same pictures" in exported(ran, first, second)
    status, _, complaint = ran(main, second, "--to", "single-file", "--out", second)
    assert status == 2 and "is the checkpoint itself" in complaint
    status, _, complaint = ran(main, first, "--to", "single-file", "--out", first)
    assert status == 2 and "is there and is another one's" in complaint


def test_what_lies_beside_it_stays(tmp_path: Path, ran: Ran) -> None:
    folder, file = build_toy(tmp_path / "toy", "sdxs"), tmp_path / "out/it.safetensors"
    for _ in range(2):
        exported(ran, folder, file)
    kept = file.parent / "scheduler/scheduler_config.json"
    kept.write_text("{}")
    status, _, complaint = ran(main, folder, "--to", "single-file", "--out", file)
    assert status == 2 and f"{kept.parent} is there and is another one's" in complaint
    assert kept.read_text() == "{}"


@pytest.mark.parametrize("led", [("--styles", "ink"), ("--controls", "pen")])
def test_what_it_is_not_for(led: tuple[str, str], tmp_path: Path, ran: Ran) -> None:
    asked = (EMBEDDED, "--to", "single-file", "--out")
    status, _, complaint = ran(main, *asked, tmp_path / "it.safetensors", *led)
    assert status == 2 and "styles and controls are files already" in complaint
    status, _, complaint = ran(main, *asked, tmp_path / "it")
    assert status == 2 and "must end in .safetensors" in complaint
