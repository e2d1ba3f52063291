"""Checkpoints of Stable Diffusion's kinds through every stage, by command, to one step."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import ldm
import pytest
import torch
from depths import build_dpt
from diffusers import DiffusionPipeline
from loras import lora_file
from safetensors.torch import load_file
from tiny import (
    build_checkpoint,
    build_multistep,
    drawing,
    multistep_unet,
    others_control,
)

from sdxs.pipeline import SDXS
from sdxs.storybook.world.folders import draw
from sdxs.train.parts import recipe_file
from sdxs.train.parts.commands import Chosen, parts
from sdxs.train.parts.shared import Head
from sdxs.train.run import stage

FEW = {"steps": 2, "batch": 2}


def ran(command: str, run: Path, **options: Any) -> Path:
    words = [
        word
        for name, value in options.items()
        for word in (f"--{name.replace('_', '-')}", *([] if value is True else [str(value)]))
    ]
    stage.run(command, ["--run", str(run), *words])
    return run


@pytest.mark.parametrize(
    "kind",
    [
        "sd15",
        pytest.param("sdxl", marks=pytest.mark.slow),
        pytest.param("sd21", marks=pytest.mark.long),
    ],
)
def test_to_one_step(kind: str, tmp_path: Path) -> None:
    """Teacher, offline and online model apart; what comes of it is diffusers' picture, too."""
    offline = build_multistep(tmp_path / "offline", kind)
    teacher = build_multistep(tmp_path / "teacher", kind, seed=1, prediction_type="epsilon")
    pairs = ran("pairs", tmp_path / "pairs", teacher=teacher, count=64, steps=2, guidance=2)
    small = ran("blocks", tmp_path / "blocks", teacher=offline, pairs=pairs, **FEW)
    straight = ran("straighten", tmp_path / "straight", teacher=small, pairs=pairs, **FEW)
    both = {"offline": offline, "pairs": pairs}
    begun = ran("warmup", tmp_path / "warmup", student=small, **both, **FEW)
    ran("warmup", tmp_path / "straightened", student=straight, **both, **FEW)
    steps = {"steps": 3, "batch": 4, "online_first": 1}
    draw(tmp_path / "pictures", "anime", 2, 1, 64)
    real = {"real": tmp_path / "pictures", "autoencoder": offline, "adversary": 1e-3}
    done = ran("distill", tmp_path / "distill", student=begun, online=small, **both, **steps,
               micro_batch=2, discriminator="dmd2", **real)  # fmt: skip
    learns_along(done)
    done = ran("distill", tmp_path / "real", student=done, **real, **FEW)
    done = ran("texture", tmp_path / "texture", student=done, **both, **FEW)
    tiny = ran("decoder", tmp_path / "decoder", autoencoder=offline, pairs=pairs,
               painted_alone=True, width=8, gan=0.1, scale=1, **FEW)  # fmt: skip
    out = tmp_path / "out"
    words = ["--out", str(out), "--model", str(done), "--decoder", str(tiny), "--any-words"]
    stage.run("export", words)

    ours = SDXS.load(out, device="cpu", dtype=torch.float32)
    theirs = DiffusionPipeline.from_pretrained(out, torch_dtype=torch.float32)
    theirs.set_progress_bar_config(disable=True)
    noise = torch.randn(1, 4, 8, 8)
    wanted = theirs(
        "a red house", latents=noise.clone(), num_inference_steps=1, guidance_scale=1.0,
        output_type="pt",
    ).images  # fmt: skip
    found = ours("a red house", latents=noise, output_type="pt")
    torch.testing.assert_close((found / 2 + 0.5).clamp(0, 1), wanted, atol=1e-3, rtol=1e-3)
    assert wanted.std() > 0.01


def learns_along(run: Path) -> None:
    """DMD2's discriminator was asked, and has left its beginnings."""
    told = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert {"online", "discriminator", "fooling"} <= told.keys()
    left = load_file(run / "discriminator.safetensors")
    torch.manual_seed(stage.read(run)["seed"])
    begun = Head(len(left["body.0.weight"])).state_dict()
    assert not any(torch.equal(left[name], begun[name]) for name in begun)


def one_step(offline: Path, folder: Path) -> tuple[Path, Path, Path]:
    """Pairs of a multi-step model, what block removal leaves of it, and that in one step, exported;
    in a folder."""
    tiny = build_checkpoint(folder / "tiny")
    pairs = ran("pairs", folder / "pairs", teacher=offline, count=64, steps=2, guidance=2)
    small = ran("blocks", folder / "blocks", teacher=offline, pairs=pairs, **FEW)
    begun = ran("warmup", folder / "warmup", student=small, offline=offline, pairs=pairs, **FEW)
    words = ["--model", str(begun), "--decoder", str(tiny), "--any-words"]
    stage.run("export", ["--out", str(folder / "out"), *words])
    return pairs, small, folder / "out"


def check_that_it_opens(out: Path, styles: dict[str, Path], controls: dict[str, Path]) -> None:
    """With all of them, each of which does something."""
    model = SDXS.load(out, styles=styles, controls=controls, device="cpu", dtype=torch.float32)
    lines = {"control_image": drawing(), "control_scale": 2}
    asked = [{"style": name, "style_scale": 2} for name in styles]
    asked += [{"control": name, **lines} for name in controls]
    plain = model("a red house", output_type="pt")
    for each in asked:
        found = model("a red house", output_type="pt", **each)
        assert found.shape == plain.shape and not torch.equal(found, plain)


def followed(name: str, root: Path, **constants: Path) -> dict[str, Path]:
    """The stages of a recipe at toy size, one after the other; their folders by name."""
    read = recipe_file.read(recipe_file.find(name))
    given = {key.replace("_", "-"): str(value) for key, value in constants.items()}
    read = dataclasses.replace(read, constants={**read.constants, **given})
    every = parts(read, Chosen({"preset": "toy"}), root / name)
    for part in every:
        stage.run(part.command, part.arguments)
    return {part.name: part.run for part in every}


@pytest.mark.slow
def test_to_controls_and_a_style_of_what_others_made(tmp_path: Path) -> None:
    """By the recipes: full ControlNets in a folder and in a file, DPT, a LoRA of kohya's."""
    offline = build_multistep(tmp_path / "offline", "sd15")
    _, _, out = one_step(offline, tmp_path)
    unet = multistep_unet("sd15")
    theirs = others_control(unet, tmp_path / "theirs").state_dict()
    named = {f"control_model.{ldm.unet_name(key, 3)}": part for key, part in theirs.items()}
    file = ldm.write_file(named, tmp_path / "control.safetensors")
    (tmp_path / "prompts.txt").write_text("a red house\na big tree\n")
    given = {"prompts": tmp_path / "prompts.txt", "student": out}
    made = followed(
        "controls", tmp_path, teacher=offline, scribble=file, canny=tmp_path / "theirs",
        near=file, depth=build_dpt(tmp_path / "dpt"), **given,
    )  # fmt: skip
    worn = followed(
        "anime", tmp_path, offline=offline,
        style=lora_file(offline, tmp_path / "style.safetensors"), **given,
    )  # fmt: skip
    check_that_it_opens(
        out, {"worn": worn["anime"] / "style"},
        {name: made[name] / "control" for name in ("sketch", "canny", "depth")},
    )  # fmt: skip
    assert stage.read(worn["anime"])["begins_with"] == stage.read(worn["anime"])["style"]


@pytest.mark.slow
def test_to_a_control_and_a_style(tmp_path: Path) -> None:
    """Made with the very stages, opened with the one-step model that they are of."""
    offline = build_multistep(tmp_path / "offline", "sdxl")
    pairs, small, out = one_step(offline, tmp_path)
    begun = tmp_path / "warmup"
    given = {"autoencoder": offline, "pairs": pairs}
    full = ran("control", tmp_path / "control", control="canny", teacher=offline, **given, **FEW)
    slim = ran(
        "control_blocks",
        tmp_path / "slim",
        control=full,
        tiny=small,
        teacher=offline,
        **given,
        **FEW,
    )
    steps = {"steps": 4, "batch": 4, "online_first": 1}
    drawn = tmp_path / "drawn"
    draw(drawn, "anime", 2, 1, 64)
    steered = ran("steer", tmp_path / "steer", begin=slim, full=full, student=begun, warmup=1,
                  offline=offline, real=drawn, adversary=1, **given, **steps)  # fmt: skip

    learnt = {"pictures": drawn, "rank": 2, "autoencoder": offline, "teacher": offline}
    style = ran("style", tmp_path / "style", **learnt, **FEW)
    worn = ran("pairs", tmp_path / "worn", teacher=offline, style=style, count=64, steps=2,
               guidance=2)  # fmt: skip
    dressed = ran("style_distill", tmp_path / "dressed", offline=offline, style=style,
                  student=begun, pairs=worn, rank=2, **steps)  # fmt: skip
    check_that_it_opens(out, {"worn": dressed / "style"}, {"canny": steered / "control"})
