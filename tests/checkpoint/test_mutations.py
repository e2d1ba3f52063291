"""Malformed checkpoints, styles and controls: one line each, quickly, and nothing is run."""

import random
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from edits import config, weights
from file_mutations import CONTROL_FILE_MUTATIONS, FILE_MUTATIONS, SHARD_MUTATIONS, SINGLE
from ldm import build_toy, flattened, stability, write_file
from lora_mutations import LORA_MUTATIONS, PARTS_MUTATIONS
from loras import dialects, lora_of_unet, loras_of
from mutations import CONTROL_MUTATIONS, MUTATIONS, NAMED, STYLE, STYLE_MUTATIONS, Mutation
from safetensors.torch import load_file, save_file
from shards import split
from tiny import build_checkpoint, build_control, build_safety_checker, load

from sdxs import CheckpointError
from sdxs.checkpoint.find import resolve
from sdxs.checkpoint.lora_file import read_style
from sdxs.checkpoint.networks import load_control
from sdxs.checkpoint.parts import load_parts
from sdxs.checkpoint.weights import fill, weights_in

EACH = 3  # times that a mutation is seen in a short run
COUNT = 500  # mutations of a long run
short_and_long = pytest.mark.parametrize("count", [0, pytest.param(COUNT, marks=pytest.mark.long)])
Kinds = list[tuple[list[Mutation], list[str], Callable[[Path], Any]]]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Checkpoints, a style and a control before anything was done to them."""
    root = tmp_path_factory.mktemp("sound")
    for kind in ("sd15", "sdxl"):
        folder = build_checkpoint(root / kind, kind=kind, large=kind == "sd15")
        build_safety_checker(folder, share=0)
    lora_of_unet(root / "sd15").save_pretrained(root / "style")
    build_control(root / "control")
    toy = build_toy(root / "toy", "sdxs", block_out_channels=(32, 32, 32))
    write_file(stability(toy, gaps=True), root / "stability" / SINGLE, toy)
    write_file(flattened(toy), root / "flat" / SINGLE, toy)
    split(write_file(layers().state_dict(), root / "shards" / SINGLE), count=3)
    write_file(load_file(root / "control" / SINGLE), root / "control-file" / SINGLE)
    return {folder.name: folder for folder in root.iterdir()}


def layers() -> torch.nn.Module:
    """Any network, of few numbers."""
    return torch.nn.Sequential(*(torch.nn.Linear(4, 4) for _ in range(4)))


def memory(name: str) -> int:
    """Bytes of this process: "VmRSS" now, "VmHWM" at most since it was told to forget."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if name in line) * 1024


@contextmanager
def bounded(size: int, problems: list[str], name: str) -> Iterator[None]:
    """Two seconds and 50 MB beyond the file's size, not more. Memory is seen on Linux alone."""
    linux = sys.platform == "linux"
    if linux:
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
        before = memory("VmRSS")
    start = time.process_time()  # the machine may be busy with something else
    yield
    took = time.process_time() - start
    if took > 2:
        problems.append(f"{name}: {took:.1f} s")
    if linux and (grown := memory("VmHWM") - before) > size + 50e6:
        problems.append(f"{name}: {grown / 1e6:.0f} MB for {size / 1e6:.0f}")


def survive(kinds: Kinds, sound: dict[str, Path], tmp_path: Path, count: int) -> None:
    """Kinds are mutations, what they spoil, who reads it. A count of 0: `EACH` of every mutation;
    or so many at random."""
    canary = tmp_path / "canary"
    for _, names, read in kinds:
        for name in names:
            read(sound[name])  # it would load, and all is warm
    problems: list[str] = []
    every = [(mutation, *rest) for mutations, *rest in kinds for mutation in mutations]
    for number in range(count or EACH * len(every)):
        rng = random.Random(number)
        mutation, names, read = rng.choice(every) if count else every[number % len(every)]
        folder = tmp_path / "it"
        shutil.copytree(sound[rng.choice(names)], folder)
        mutation(rng, folder, canary)
        size = max(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        name = f"{number} {mutation.__name__}"
        with bounded(size, problems, name):
            try:
                read(folder)
                problems.append(f"{name}: loaded")
            except CheckpointError as error:
                if "\n" in str(error) or len(str(error)) > 600 or str(folder) not in str(error):
                    problems.append(f"{name}: {error!r}")
            except BaseException as error:
                problems.append(f"{name}: {type(error).__name__} {error}")
        shutil.rmtree(folder)
    assert not problems, "\n".join(problems)
    assert not canary.exists()


@short_and_long
def test_folders(count: int, sound: dict[str, Path], tmp_path: Path) -> None:
    parts, _, _ = load_parts(sound["sd15"], torch.float32)
    networks = {"unet": parts.unet, **parts.text_encoders}
    controlled = partial(load_control, dtype=torch.float32, unet=parts.unet, factor=8)
    kinds: Kinds = [
        (MUTATIONS, ["sd15", "sdxl"], partial(load, safety=True)),
        (STYLE_MUTATIONS, ["style"], lambda folder: read_style(folder, networks)),
        (CONTROL_MUTATIONS, ["control"], controlled),
    ]
    survive(kinds, sound, tmp_path, count)


@short_and_long
def test_files(count: int, sound: dict[str, Path], tmp_path: Path) -> None:
    """Single files and shards; twice as many."""
    unet = load_parts(sound["sd15"], torch.float32)[0].unet

    def single(folder: Path) -> Any:
        return load_parts(resolve(folder).folder, torch.float32)

    def shards(folder: Path) -> Any:
        with torch.device("meta"):
            network = layers()
        return fill(network, weights_in(folder, "diffusion_pytorch_model"), torch.float32)

    def controlled(folder: Path) -> Any:
        return load_control(folder / SINGLE, torch.float32, unet, 8)

    kinds: Kinds = [
        (FILE_MUTATIONS, ["stability", "flat"], single),
        (3 * SHARD_MUTATIONS, ["shards"], shards),  # they take the least time
        (CONTROL_FILE_MUTATIONS, ["control-file"], controlled),
    ]
    survive(kinds, sound, tmp_path, 2 * count)


@short_and_long
def test_loras_of_all_programs(count: int, sound: dict[str, Path], tmp_path: Path) -> None:
    parts, _, _ = load_parts(sound["sd15"], torch.float32)
    read = partial(read_style, networks={"unet": parts.unet, **parts.text_encoders})
    loras = loras_of(sound["sd15"])
    folders = {}
    for number, (program, dialect) in enumerate(dialects(1).items()):
        folders[program] = tmp_path / str(number)
        folders[program].mkdir()
        save_file(dialect.of(loras, None if number % 2 else 2), folders[program] / NAMED)
    for lora, name in zip(loras, ("unet", "text_encoder"), strict=True):
        lora.save_pretrained(tmp_path / "parts" / name)
    kinds: Kinds = [
        (LORA_MUTATIONS, list(folders), read),
        (PARTS_MUTATIONS, ["parts"], read),
    ]
    survive(kinds, {**folders, "parts": tmp_path / "parts"}, tmp_path, count)


def test_large_files_are_not_read_in_vain(sound: dict[str, Path], tmp_path: Path) -> None:
    """A U-Net in float16 and a style, of 100 MB each, of which the last thing is wrong."""
    from diffusers import UNet2DConditionModel

    networks = {"unet": load_parts(sound["sd15"], torch.float32)[0].unet}
    read_style(sound["style"], networks)  # warm
    problems: list[str] = []

    folder = tmp_path / "large"
    shutil.copytree(sound["sd15"], folder)
    with config(folder / "unet/config.json") as settings, torch.device("meta"):
        settings["block_out_channels"] = [128, 512, 512]
        shapes = UNet2DConditionModel.from_config(settings).state_dict()
    whole = {key: torch.zeros(meta.shape, dtype=torch.float16) for key, meta in shapes.items()}
    del whole[max(whole)]
    file = folder / "unet/diffusion_pytorch_model.safetensors"
    save_file(whole, file)
    size = file.stat().st_size
    del whole
    with bounded(size, problems, "unet"), pytest.raises(CheckpointError, match="missing"):
        load(folder, safety=True)

    style = tmp_path / "style"
    shutil.copytree(sound["style"], style)
    with weights(style / STYLE) as tensors:
        for key, tensor in tensors.items():
            repeats = [8000 // tensor.shape[0] if "lora_A" in key else 1, 1, 1, 1]
            repeats[1] = 1 if "lora_A" in key else 8000 // tensor.shape[1]
            tensors[key] = tensor.repeat(repeats[: tensor.ndim]).half()
        tensors[max(tensors)][-1] = torch.nan
    large = (style / STYLE).stat().st_size
    del tensors, tensor
    with bounded(large, problems, "style"), pytest.raises(CheckpointError, match="not finite"):
        read_style(style, networks)
    assert not problems and min(size, large) > 50e6, (problems, size, large)
