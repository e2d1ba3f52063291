"""Ranks: processes that train as one give the weights of one process, whatever happens to them.

Real processes, by gloo.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from programs import ROOT
from safetensors.torch import load_file
from tiny import build_checkpoint
from torch import nn

from sdxs.errors import SDXSError
from sdxs.storybook.world.folders import draw
from sdxs.train.run import loop, ranks, stage
from tests.train import jobs
from tests.train.ranked import Launched


@pytest.fixture
def launched(tmp_path: Path) -> Iterator[Callable[..., Launched]]:
    every: list[Launched] = []

    def launch(name: str, do: Callable[..., None], *arguments: Any, world: int = 2) -> Launched:
        every.append(Launched(world, tmp_path / name, do, *arguments))
        return every[-1]

    yield launch
    for each in every:
        for process in each.ranks:
            process.kill()


def test_two_ranks_give_the_gradient_of_the_full_batch(launched, tmp_path: Path) -> None:
    """And so does one that computes it in two micro-batches, or in four."""
    assert launched("two", jobs.full_batch, 2).end() == [0, 0]
    whole = jobs.Toy(1)
    loss = (whole.network(whole.x) - whole.y).square().mean()
    loss.backward()
    nn.utils.clip_grad_norm_(whole.network.parameters(), 1.0)
    assert whole.idle.grad is None
    for run in (2, 4):
        (tmp_path / f"one-{run}").mkdir()
        jobs.full_batch(tmp_path / f"one-{run}", run)
    files = [tmp_path / "two/0.pt", tmp_path / "two/1.pt", *tmp_path.glob("one-*/0.pt")]
    assert len(files) == 4
    for file in files:
        found = torch.load(file)
        assert found["loss"] == pytest.approx(loss.item(), rel=1e-12)
        assert found["idle"] is None
        for name, part in whole.network.named_parameters():
            if part.grad is not None:
                torch.testing.assert_close(found[name], part.grad, rtol=1e-12, atol=1e-14)


def test_how_many_ranks_there_are_changes_nothing(launched, tmp_path: Path) -> None:
    """Of four micro-batches: chance, weights and what is logged."""
    two, three = launched("2", jobs.several_steps, 4), launched("3", jobs.several_steps, 4, world=3)
    assert two.end() == [0, 0] and three.end() == [0, 0, 0]
    one = tmp_path / "1"
    jobs.several_steps(one, 4)
    whole = torch.load(one / "rank-0.pt")
    for folder, world in ((two.folder, 2), (three.folder, 3)):
        every = [torch.load(folder / f"rank-{rank}.pt") for rank in range(world)]
        for rank, found in enumerate(every):
            share = [whole["seen"][n] for n in range(24) if n % 4 % world == rank]
            assert found["seen"] == share
            for name, part in whole["weights"].items():
                torch.testing.assert_close(found["weights"][name], part, rtol=0, atol=1e-12)
                assert torch.equal(found["weights"][name], every[0]["weights"][name])
        logs = [(run / "metrics.jsonl").read_text().splitlines() for run in (folder, one)]
        assert len(logs[0]) == len(logs[1]) == 2  # the main rank's alone
        ours, wanted = (json.loads(log[-1])["loss"] for log in logs)
        assert ours == pytest.approx(wanted, rel=1e-12)
        assert len(list(folder.glob("state-*.pt"))) == 2


@pytest.mark.parametrize("moments", [3, pytest.param(12, marks=pytest.mark.long)])
def test_killed_at_any_moment_they_end_in_the_same_weights(
    moments: int, launched, tmp_path: Path
) -> None:
    steps, rng = 20 * moments, random.Random(moments)
    began = time.monotonic()
    assert launched("whole", jobs.long_run, steps).end() == [0, 0]
    took = time.monotonic() - began
    for _ in range(moments):
        run = launched("killed", jobs.long_run, steps)
        before = newest(run.folder)
        deadline = time.monotonic() + 60
        while newest(run.folder) <= before + 2 and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.2 * took / moments))
        run.kill()
        assert run.end() == [-signal.SIGKILL] * 2, "it should not have ended by itself"
    assert 0 < newest(tmp_path / "killed") < steps
    assert launched("killed", jobs.long_run, steps).end() == [0, 0]
    ours, wanted = (loop.load_state(tmp_path / name) for name in ("killed", "whole"))
    assert ours and wanted and ours["step"] == wanted["step"] == steps
    for name, part in wanted["network"].items():
        assert torch.equal(ours["network"][name], part)
    assert ours["means"] == wanted["means"] and ours["settings"]["ranks"] == 2


def newest(run: Path) -> int:
    return max((int(path.stem[6:]) for path in run.glob("state-*.pt")), default=0)


def test_a_stage_on_two_ranks_leaves_what_one_process_does(
    launched, given: Path, tmp_path: Path
) -> None:
    jobs.toy_teacher(tmp_path / "one", given, 2)
    two = launched("two", jobs.toy_teacher, given)
    assert two.end() == [0, 0]
    file = "unet/diffusion_pytorch_model.safetensors"
    ours, wanted = load_file(two.folder / file), load_file(tmp_path / "one" / file)
    assert all(torch.equal(ours[name], wanted[name]) for name in ours | wanted)
    results = [stage.read(run) for run in (two.folder, tmp_path / "one")]
    assert results[0].pop("ranks") == 2
    for told in results:
        del told["hours"], told["at"], told["hardware"]
    assert results[0] == results[1] and results[0]["micro_batch"] == 2


def test_a_discriminator_on_two_ranks_is_that_of_one_process(launched, tmp_path: Path) -> None:
    """Which computes its two micro-batches in turn, each once more for the student's gradient."""
    student, pictures = build_checkpoint(tmp_path / "student"), tmp_path / "pictures"
    draw(pictures, "anime", 3, 1, 64)
    jobs.toy_distill(tmp_path / "one", student, pictures, 2)
    two = launched("two", jobs.toy_distill, student, pictures)
    assert two.end() == [0, 0], two.told
    for file in ("unet/diffusion_pytorch_model.safetensors", "discriminator.safetensors"):
        ours, wanted = load_file(two.folder / file), load_file(tmp_path / "one" / file)
        assert all(torch.equal(ours[name], wanted[name]) for name in ours | wanted), file
    begun = load_file(student / "unet/diffusion_pytorch_model.safetensors")
    left = load_file(tmp_path / "one/unet/diffusion_pytorch_model.safetensors")
    assert not all(torch.equal(begun[name], left[name]) for name in begun)
    told = [(run / "metrics.jsonl").read_text().splitlines()[-1]
            for run in (two.folder, tmp_path / "one")]  # fmt: skip
    assert json.loads(told[0]) == pytest.approx(json.loads(told[1]), rel=1e-9)


def test_another_number_of_ranks_is_refused(launched, tmp_path: Path) -> None:
    assert launched("run", jobs.several_steps, 4).end() == [0, 0]
    with pytest.raises(loop.TrainingError, match="was begun with ranks=2, not 1: use that, or"):
        jobs.several_steps(tmp_path / "run", 4)
    three = launched("run", jobs.several_steps, 4, world=3)
    assert three.end() == [2, 2, 2]
    assert len(three.told) == 1 and "was begun with ranks=2, not 3" in three.told[0]


@pytest.mark.parametrize(
    ("do", "arguments", "said"),
    [
        (jobs.unlike_settings, (), "rank 1 was given lr=0.2, not 0.1: start all ranks alike"),
        (jobs.diverges_in_one, (), "toy: loss is "),
        (jobs.fails_in_one, (0,), "this one alone has no more room"),
        (jobs.fails_in_one, (1,), "this one alone has no more room"),
        (jobs.alone, (), "this part is trained in one process"),
    ],
)
def test_what_ends_one_ends_all_and_is_said_once(launched, do, arguments, said: str) -> None:
    run = launched("run", do, *arguments)
    assert run.end() == [2, 2]
    assert len(run.told) == 1 and said in run.told[0]
    assert newest(run.folder) in (0, 2)


def test_a_wrong_option_is_named_once(launched) -> None:
    run = launched("run", jobs.misspelt)
    assert run.end() == [2, 2]
    assert [line for line in run.told if "error:" in line] == [run.told[-1]]
    assert run.told[-1].endswith("argument --steps: 0 is below 1")


@pytest.mark.parametrize("who", [0, 1])
def test_one_that_is_killed_ends_the_other(launched, who: int) -> None:
    run = launched("run", jobs.long_run, 10_000)
    deadline = time.monotonic() + 60
    while not newest(run.folder) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(run.ranks[who].pid, signal.SIGKILL)
    codes = run.end()
    assert codes[who] == -signal.SIGKILL and codes[1 - who] == 2
    assert [line for line in run.told if "another rank has ended" not in line] == []
    assert len(run.told) <= 1


def test_all_begin_as_the_main_one(launched) -> None:
    run = launched("run", jobs.unlike_beginnings)
    assert run.end() == [0, 0]
    first, second = (torch.load(run.folder / f"{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_data_are_made_by_the_main_rank_and_read_by_all(launched) -> None:
    assert launched("run", jobs.cached_by_main).end() == [0, 0]


def test_one_process_is_the_main_rank_and_waits_for_nobody() -> None:
    assert (ranks.rank(), ranks.world(), ranks.is_main()) == (0, 1, True)
    with ranks.joined(), ranks.main_first():
        ranks.wait()
    assert ranks.facts() == {} and ranks.means([{"a": 0.1}]) == {"a": 0.1}
    ranks.agree({"lr": 1})
    with pytest.raises(SDXSError):
        raise ranks.LostRank


@pytest.mark.slow
def test_a_stage_that_torchrun_starts_is_killed_and_goes_on(given: Path, tmp_path: Path) -> None:
    """It ends in the weights of one process."""
    stage.finish(shutil.copytree(given / "v", tmp_path / "v"), "autoencoder", 0)
    asked = ["-m", "sdxs.train.teacher", "--autoencoder", str(tmp_path / "v"), "--text",
             str(given / "x"), "--preset", "toy", "--layout", "sdxs", "--resolution", "64",
             "--steps", "8", "--batch", "4", "--pictures", "8", "--save-minutes", "0"]  # fmt: skip
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def started(name: str, *words: str) -> subprocess.Popen[bytes]:
        (tmp_path / name).mkdir(exist_ok=True)
        return subprocess.Popen([sys.executable, *words], cwd=tmp_path / name, env=env)

    assert started("one", *asked, "--micro-batch", "2").wait(300) == 0
    agent = started("two", *torchrun, *asked)
    made = tmp_path / "two/runs/teacher"
    deadline = time.monotonic() + 120
    while not newest(made) and time.monotonic() < deadline:
        time.sleep(0.01)
    for process in (*psutil.Process(agent.pid).children(recursive=True), agent):
        process.kill()
    agent.wait(60)
    assert 0 < newest(made) < 8 and not (made / "result.json").exists()
    assert started("two", *torchrun, *asked).wait(300) == 0
    file = "runs/teacher/unet/diffusion_pytorch_model.safetensors"
    assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
