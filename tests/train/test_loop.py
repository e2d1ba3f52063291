"""A run that was stopped, however, ends as one never stopped."""

import io
import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from sdxs.train import teacher
from sdxs.train.run import loop, states


class Walk:
    """A stage in miniature: a weight that takes random steps."""

    def __init__(self) -> None:
        self.model = nn.Linear(3, 1)
        nn.init.zeros_(self.model.weight)

    def step(self, index: int, generator: torch.Generator) -> dict[str, float]:
        with torch.no_grad():
            self.model.weight += torch.randn(1, 3, generator=generator)
        return {"norm": self.model.weight.norm().item()}

    def run(self, folder, steps, flat=0.0, **settings):
        loop.run(
            folder, {"model": self.model}, self.step, steps=steps, seed=1, settings=settings,
            title="walk", save_seconds=0, flat=flat,
        )  # fmt: skip
        return self.model.weight


def test_a_torn_checkpoint_is_never_chosen_nor_counted(tmp_path):
    Walk().run(tmp_path, 5)
    newest, older = sorted(tmp_path.glob("state-*.pt"), reverse=True)
    newest.write_bytes(newest.read_bytes()[:-100])
    state = loop.load_state(tmp_path)
    assert state["step"] == 4 and f"{4:08d}" in older.name
    assert sorted(tmp_path.glob("state-*.pt")) == [older]
    older.write_bytes(b"")
    with pytest.raises(loop.TrainingError, match="can be read: remove it to begin again"):
        Walk().run(tmp_path, 5)


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    walk = Walk()
    with torch.no_grad():
        walk.model.bias.fill_(float("inf"))
    with pytest.raises(loop.TrainingError, match="model has weights that are not finite at 1"):
        walk.run(tmp_path, 5)
    assert not list(tmp_path.glob("state-*.pt"))


def test_of_large_states_one_is_kept(tmp_path, monkeypatch):
    Walk().run(tmp_path / "small", 5)
    assert len(list((tmp_path / "small").glob("state-*"))) == 2
    monkeypatch.setattr(states, "LARGE", 15)  # bytes: the weights have 16
    Walk().run(tmp_path / "large", 5)
    assert [path.name for path in (tmp_path / "large").glob("state-*")] == ["state-00000005.pt"]


def test_a_state_that_finds_no_room_is_not_begun(tmp_path, monkeypatch):
    Walk().run(tmp_path, 2)
    there = {path.name: path.read_bytes() for path in tmp_path.glob("state-*")}
    monkeypatch.setattr(states.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 0, 15))
    with pytest.raises(loop.TrainingError, match=r"a state takes .* make room, then"):
        states.save_state(tmp_path, 3, {"model": {"weight": torch.zeros(4)}})
    assert {path.name: path.read_bytes() for path in tmp_path.glob("state-*")} == there
    states.save_state(tmp_path, 3, {"model": [torch.zeros(3)], "means": {"loss": 1.0}})


def test_saving_takes_a_twentieth_of_the_time_at_most(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(states.time, "monotonic", lambda: clock[0])
    pace = states.Pace(180)
    for now, due in ((179, False), (181, True)):
        clock[0] = now
        assert pace.due is due
    with pace.saving():
        clock[0] += 40
    for later, due in ((790, False), (20, True)):
        clock[0] += later
        assert pace.due is due
    always = states.Pace(0)
    with always.saving():
        clock[0] += 40
    clock[0] += 0.001
    assert always.due


def test_resuming_with_other_settings_names_the_setting(tmp_path):
    Walk().run(tmp_path, 3, lr=0.1)
    with pytest.raises(loop.TrainingError, match=r"lr=0\.1, not 0\.2"):
        Walk().run(tmp_path, 3, lr=0.2)


def test_a_finished_run_does_nothing_more(tmp_path):
    first = Walk().run(tmp_path, 4).clone()
    assert torch.equal(Walk().run(tmp_path, 4), first)


def test_steps_may_change_while_nothing_depends_on_how_many_there_are(tmp_path):
    whole = Walk().run(tmp_path / "whole", 8)
    Walk().run(tmp_path / "longer", 4, flat=1.0)
    assert torch.equal(Walk().run(tmp_path / "longer", 8, flat=1.0), whole)
    Walk().run(tmp_path / "refused", 4, flat=0.5)
    with pytest.raises(loop.TrainingError, match="steps=4, not 8"):
        Walk().run(tmp_path / "refused", 8, flat=0.5)


def test_a_loss_that_is_not_finite_stops_with_its_name(tmp_path):
    about = {"steps": 1, "seed": 1, "settings": {}, "title": "t"}
    with pytest.raises(loop.TrainingError, match="loss is nan at step 0"):
        loop.run(tmp_path, {}, lambda i, g: {"loss": float("nan")}, **about)


STEPS = 4  # of the whole run, for each moment at which it is killed
KILLERS = (("torch.save", 2), ("os.fsync", 3), ("os.replace", 2), ("torch.save", 1))


def train_teacher(
    run: Path, given: Path, steps: int, killer: tuple[str, int] | None = None
) -> None:
    """What the killed process does; with a killer, the nth call of that function is its last."""
    torch.set_num_threads(1)
    os.fsync = lambda _: None  # the machine goes on
    if killer is not None:
        module, name = (os, torch)[killer[0].startswith("torch")], killer[0].rpartition(".")[2]
        real, calls = getattr(module, name), []

        def deadly(*arguments):
            calls.append(name)
            if len(calls) == killer[1]:
                if name == "save":  # half of the file is written
                    whole = io.BytesIO()
                    real(arguments[0], whole)
                    arguments[1].write_bytes(whole.getvalue()[: whole.tell() // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments)

        setattr(module, name, deadly)
    teacher.train(teacher.Options(
        run=run, autoencoder=given / "v", text=given / "x", preset="toy", layout="sdxs",
        steps=steps, batch=2, pictures=16, resolution=64, save_minutes=0,
    ))  # fmt: skip


def newest(run: Path) -> int:
    return max((int(path.stem[6:]) for path in run.glob("state-*.pt")), default=0)


@pytest.mark.parametrize("moments", [6, pytest.param(20, marks=pytest.mark.long)])
def test_killed_at_many_moments_it_ends_in_the_same_weights_bit_for_bit(
    moments: int, given: Path, tmp_path: Path
) -> None:
    """While training, saving, encoding, loading. A server forks, so that none imports torch."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sdxs.train.teacher"])
    rng, steps = random.Random(0), STEPS * moments

    def start(run: Path, killer: tuple[str, int] | None = None):
        process = context.Process(target=train_teacher, args=(run, given, steps, killer))
        process.start()
        return process

    def to_its_end(run: Path) -> None:
        process = start(run)
        process.join(300)
        assert process.exitcode == 0

    first = context.Process(target=os.getpid)  # waits for the server's imports
    first.start()
    first.join(300)
    began = time.monotonic()
    to_its_end(whole)
    a_step = loop.load_state(whole)["seconds"] / steps
    starting = time.monotonic() - began - a_step * steps
    for moment in range(moments):
        before = newest(killed)
        killer = KILLERS[moment // 4 - 1] if moment else ("os.replace", 1)
        # in the midst of saving; at first, of the note that latents are whole
        process = start(killed, None if moment % 4 else killer)
        if moment % 4 == 1:  # at any moment, mostly of its start
            time.sleep(rng.uniform(0.1, 1) * starting)
        elif moment % 4:  # once it got further
            deadline = time.monotonic() + 120
            while newest(killed) <= before and time.monotonic() < deadline:
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 1.5 * a_step))
        if moment % 4:
            os.kill(process.pid, signal.SIGKILL)
        process.join(120)
        assert process.exitcode == -signal.SIGKILL, "it should not have ended by itself"
        assert newest(killed) >= before
    assert 0 < newest(killed) < steps and not (killed / "result.json").exists()
    to_its_end(killed)
    for part in ("unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"):
        ours, wanted = load_file(killed / part), load_file(whole / part)
        assert ours.keys() == wanted.keys()
        assert all(torch.equal(ours[name], wanted[name]) for name in wanted)
