"""What stages hold: published counts, bytes by closed form, and what the stages themselves have."""

import dataclasses
import re
import sys
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from depths import build_dpt
from diffusers.training_utils import EMAModel
from loras import lora_file
from tiny import build_multistep, multistep_unet, others_control
from torch import nn

from sdxs.storybook.world.folders import draw
from sdxs.train import recipe
from sdxs.train.parts import blueprints, commands, recipe_file, rehearsal
from sdxs.train.parts.commands import Chosen
from sdxs.train.parts.footprint import Held, count, footprint
from sdxs.train.run import loop, stage
from sdxs.train.run.loop import TrainingError
from sdxs.train.run.options import Scale


def held(name: str, **sets: Any) -> dict[str, list[Held]]:
    """Of every stage of a recipe."""
    found = recipe_file.read(recipe_file.find(name))
    found = dataclasses.replace(found, constants={**found.constants, **sets})
    chosen = Chosen(commands.unasked(found) | ({"preset": "toy"} if sets else {}))
    every = rehearsal.held(found, lambda at: commands.parts(found, chosen, at), Path("runs/x"))
    return {part.name: networks for part, _, networks in every}


@pytest.mark.parametrize(
    ("name", "unet", "words", "tiny"),
    [
        ("sdxs-512", 865.91, (340.39,), 318.70),
        ("sdxs-512-dreamshaper", 859.52, (123.06,), 315.75),
        ("sdxs-1024", 745.23, (123.06, 694.66), 745.23),
    ],
)
def test_the_papers_counts(name: str, unet: float, words: tuple[float, ...], tiny: float) -> None:
    """From Hub ids alone, which nobody asks for."""
    every = held(name)["distill"]
    assert [round(each.parameters / 1e6, 2) for each in every] == [unet, *words, tiny, unet]
    assert [each.learning == each.parameters for each in every][-2:] == [True, True]
    assert [each.mean for each in every][-2:] == [True, False]


def test_bytes_by_closed_form() -> None:
    both = [Held("student", 300, 100, mean=True), Held("teacher", 1000)]
    found = footprint(both, Scale())
    assert found == {"weights": 1200, "gradients": 400, "optimizer": 800, "running mean": 400,
                     "frozen": 4000}  # fmt: skip
    less = footprint(both, Scale(eight_bit=True), in_bf16=True, ranks=4)
    assert less == {"weights": 300, "gradients": 100, "optimizer": 2 * 100 * (1 + 4 / 256) / 4,
                    "running mean": 100, "frozen": 500}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sdxs-512", "controls", "anime"])
def test_stages_hold_what_is_said_of_them(name: str, tmp_path: Path, monkeypatch) -> None:
    """Every network that a stage trains or names as frozen, at toy size."""
    offline = build_multistep(tmp_path / "offline", "sd21" if name == "sdxs-512" else "sd15")
    draw(tmp_path / "pictures", "anime", 2, 1, 64)
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a red house\na big tree\n")
    others_control(multistep_unet("sd15"), tmp_path / "theirs")
    sets = {"prompts": str(prompts), "pictures": str(tmp_path / "pictures"),
            **dict.fromkeys(("teacher", "offline", "student"), str(offline)),
            **dict.fromkeys(("scribble", "canny", "near"), str(tmp_path / "theirs")),
            "depth": str(build_dpt(tmp_path / "dpt")),
            "style": str(lora_file(offline, tmp_path / "style.safetensors"))}  # fmt: skip
    sets = {key: value for key, value in sets.items()
            if key in recipe_file.read(recipe_file.find(name)).constants}  # fmt: skip
    seen: dict[str, tuple[dict[str, int], dict[str, int], int]] = {}
    plainly = stage.trained

    @contextmanager
    def watched(options, parts, step, facts, *, frozen=MappingProxyType({}), **how):
        networks = {key: part for key, part in parts.items() if isinstance(part, nn.Module)}
        counts = [{key: count(part) for key, part in some.items()} for some in (networks, frozen)]
        means = [part.shadow_params for part in parts.values() if isinstance(part, EMAModel)]
        seen[options.run.name] = *counts, sum(w.numel() for some in means for w in some)
        with plainly(options, parts, step, facts, frozen=frozen, **how) as measured:
            yield measured

    monkeypatch.setattr(stage, "trained", watched)
    monkeypatch.setattr(loop, "run", lambda *_, **__: 0.0)  # nothing need be learnt
    words = [word for key, value in sets.items() for word in ("--set", f"{key}={value}")]
    recipe.main([name, "--preset", "toy", "--run", str(tmp_path / "run"), *words])
    said = held(name, **sets)
    assert seen.keys() >= said.keys() - {"pairs", "checkpoint"}
    for run, (learning, frozen, means) in seen.items():
        assert learning == {each.name: each.parameters for each in said[run] if each.learning}
        others = {(each.name, each.parameters) for each in said[run] if not each.learning}
        assert frozen.items() <= others
        assert means == sum(each.learning for each in said[run] if each.mean)


def test_a_recipe_says_what_its_stages_hold(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where its bar is shown in the same place."""
    monkeypatch.setattr("sys.stderr", sys.stdout)
    recipe.main(["sdxs-512", "--dry-run"])
    said = [line for line in re.split(r"[\r\n]", capsys.readouterr().out) if line.strip()]
    table = {row.split(" | ")[0][2:]: row.split(" | ")[1:] for row in said if row.startswith("|")}
    weights = 4 * (318.70 + 865.91) / 1e3
    mean, offline = 4 * 318.70 / 1e3, 4 * (865.91 + 340.39) / 1e3
    row = [float(cell.strip(" |").replace(",", "")) for cell in table["distill"]]
    wanted = [1184.61, 1206.30, weights, weights, 2 * weights, mean, offline]
    assert row == pytest.approx([*wanted, sum(wanted[2:])], abs=0.011)
    assert said[-1] == (
        "stabilityai/stable-diffusion-2-1-base: the shape of sd-2.1-base as it was published"
    )
    recipe.main(["sdxs-512", "--dry-run", "--ranks", "8", "--set", "distill.fsdp=true",
                 "--set", "distill.frozen-dtype=bfloat16"])  # fmt: skip
    row = next(row for row in capsys.readouterr().out.splitlines() if "| distill" in row)
    assert float(row.split(" | ")[-1].strip(" |")) == pytest.approx(
        (4 * weights + mean + offline / 2) / 8, abs=0.011
    )


def test_a_stage_is_measured_with_what_nobody_trained(tmp_path: Path, capsys) -> None:
    """The student that `blocks` would leave, and pairs; not what lies elsewhere, which stays."""
    offline = build_multistep(tmp_path / "offline", "sd21")
    before = (offline / "unet/diffusion_pytorch_model.safetensors").read_bytes()
    sets = ["--set", f"offline={offline}", "--set", f"teacher={offline}", "--run", str(tmp_path)]
    recipe.main(["sdxs-512", "--preset", "toy", "--measure", "warmup", *sets])
    said = capsys.readouterr().out
    assert "student: 0.25 M parameters, 0.25 M of them learn" in said and "2 steps of " in said
    assert (offline / "unet/diffusion_pytorch_model.safetensors").read_bytes() == before
    assert {place.name for place in tmp_path.iterdir()} == {"offline"}
    for name, why in (("pairs", "no dry run"), ("warm", "no stage is called warm: did you mean")):
        with pytest.raises(TrainingError, match=why):
            recipe.main(["sdxs-512", "--preset", "toy", "--measure", name, *sets])
    sets = ["--set", f"student={offline}", "--set", f"teacher={offline}"]
    with pytest.raises(TrainingError, match="random weights cannot stand in for --control"):
        recipe.main(["controls", "--preset", "toy", "--measure", "slim-sketch", *sets])


def test_what_is_in_no_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "one/unet").mkdir(parents=True)
    with pytest.raises(TrainingError, match=r"has no config\.json"):
        blueprints.unet(tmp_path / "one")
