"""What is shared out over ranks learns, is saved and ends as what is not. Real processes, by
gloo."""

from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file
from tiny import build_checkpoint

from sdxs.train import distill
from sdxs.train.run import loop, ranks, stage
from sdxs.train.run.loop import load_state
from sdxs.train.run.options import ScaledOptions
from tests.train import jobs
from tests.train.ranked import Launched

FILE = "unet/diffusion_pytorch_model.safetensors"


class Scaled(ScaledOptions, name="scaled", steps=7, batch=12, lr=0.5, seed=3):
    """One that trains on any number of ranks."""


def test_shares_learn_as_one_process_and_states_are_whole(tmp_path: Path) -> None:
    """Gradient norms, weights, moments and means; resumed by shares and without."""
    two = Launched(2, tmp_path / "two", jobs.shared_out)
    assert two.end() == [0, 0], two.told
    jobs.learns_a_unet(tmp_path / "one", False)
    wanted = load_state(tmp_path / "one")
    assert wanted
    for name in ("whole", "shared", "plain"):
        found = load_state(two.folder / name)
        assert found and found["step"] == 2
        assert found["means"] == pytest.approx(wanted["means"], rel=1e-9)
        assert found["unet"].keys() == wanted["unet"].keys()
        for key, part in wanted["unet"].items():
            torch.testing.assert_close(found["unet"][key], part, rtol=0, atol=1e-9)
        for ours, theirs in zip(*(
            state["ema"]["shadow_params"] for state in (found, wanted)), strict=True
        ):  # fmt: skip
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)
        moments = found["optimizer"]["state"], wanted["optimizer"]["state"]
        assert moments[0].keys() == moments[1].keys()
        for number, row in moments[1].items():
            for key, part in row.items():
                torch.testing.assert_close(moments[0][number][key], part, rtol=1e-6, atol=1e-12)
    left = UNet2DConditionModel.from_pretrained(two.folder / "unet", torch_dtype=torch.float64)
    means = wanted["ema"]["shadow_params"]
    for ours, theirs in zip(left.parameters(), means, strict=True):
        torch.testing.assert_close(ours.detach(), theirs, rtol=0, atol=1e-9)


@pytest.mark.slow
def test_a_stage_shares_out_what_learns_and_what_is_frozen(tmp_path: Path) -> None:
    offline = build_checkpoint(tmp_path / "offline")
    asked = [
        "--teacher",
        build_checkpoint(tmp_path / "teacher", seed=1),
        "--count",
        "64",
        "--steps",
        "1",
        "--guidance",
        "1",
    ]
    stage.run("pairs", ["--run", str(tmp_path / "pairs"), *map(str, asked)])
    two = Launched(2, tmp_path / "two", jobs.toy_warmup_shared_out, tmp_path)
    assert two.end() == [0, 0], two.told
    jobs.toy_warmup(tmp_path / "one", tmp_path)
    jobs.toy_warmup(tmp_path / "rounded", tmp_path, frozen_dtype="bfloat16")
    wanted, before = load_file(tmp_path / "one" / FILE), load_file(offline / FILE)
    moved = sum((part - before[key]).abs().sum() for key, part in wanted.items())
    for folder, most in (("two", 0.1), ("rounded", 0.15)):
        ours = load_file(tmp_path / folder / FILE)
        assert ours.keys() == wanted.keys()
        apart = sum((ours[key] - part).abs().sum() for key, part in wanted.items())
        assert apart <= most * moved, (folder, apart / moved)
    assert stage.read(tmp_path / "rounded")["frozen_dtype"] == "bfloat16"


def test_what_cannot_be_shared_out_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert not Scaled(run=tmp_path, fsdp=True).scale.sharded  # one process has all of it
    monkeypatch.setattr(ranks, "world", lambda: 2)
    assert Scaled(run=tmp_path, fsdp=True).scale.sharded
    with pytest.raises(loop.TrainingError, match="as many micro-batches each, and there are 3"):
        Scaled(run=tmp_path, fsdp=True, micro_batch=4).check_scale()
    with pytest.raises(loop.TrainingError, match="do not go together"):
        Scaled(run=tmp_path, fsdp=True, optimizer="adamw8bit").check_scale()
    with pytest.raises(loop.TrainingError, match="--keep do not go together"):
        distill.Options(run=tmp_path, student=tmp_path, fsdp=True, keep=1.0).check_scale()
