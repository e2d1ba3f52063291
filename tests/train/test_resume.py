"""A stage that was stopped, however, ends as one never stopped."""

import io
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from sdxs.storybook import draw
from sdxs.train import (
    autoencoder,
    blocks,
    control,
    control_blocks,
    decoder,
    depth,
    distill,
    doubling,
    encoders,
    evaluator,
    loop,
    pairs,
    reader,
    stage,
    steer,
    straighten,
    style,
    style_distill,
    teacher,
    text,
    texture,
    warmup,
)
from sdxs.train.autoencoder import build
from sdxs.train.judged import Weights
from sdxs.train.pairs import Pairs

WEIGHTS = "diffusion_pytorch_model.safetensors"


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
            folder,
            {"model": self.model},
            self.step,
            steps=steps,
            seed=1,
            settings=settings,
            title="walk",
            save_seconds=0,
            flat=flat,
        )
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
    with pytest.raises(loop.TrainingError, match="loss is nan at step 0"):
        loop.run(
            tmp_path,
            {},
            lambda i, g: {"loss": float("nan")},
            steps=1,
            seed=1,
            settings={},
            title="t",
        )


MOMENTS, STEPS = 20, 80  # it is killed at; of the whole run
KILLERS = (("torch.save", 2), ("os.fsync", 3), ("os.replace", 2), ("torch.save", 1))


def train_teacher(run: Path, given: Path, killer: tuple[str, int] | None = None) -> None:
    """What the killed process does; with a killer, the nth call of that function is its last."""
    torch.set_num_threads(1)
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
    teacher.train(
        run, autoencoder=given / "v", text=given / "x", preset="toy", layout="sdxs", steps=STEPS,
        segment=0.2, batch=2, pictures=16, lr=1e-3, seed=5, resolution=64, save_seconds=0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy autoencoder and text encoder."""
    folder = tmp_path_factory.mktemp("given")
    torch.manual_seed(0)
    build(12).save_pretrained(folder / "v/vae")
    text.train(folder / "x", preset="toy", steps=1, batch=2, lr=1e-3, seed=1)
    return folder


def newest(run: Path) -> int:
    return max((int(path.stem[6:]) for path in run.glob("state-*.pt")), default=0)


def test_killed_at_twenty_moments_it_ends_in_the_same_weights_bit_for_bit(
    given: Path, tmp_path: Path
) -> None:
    """While training, saving, encoding, loading. A server forks, so that none imports torch."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sdxs.train.recipe"])  # imports every stage, once
    rng = random.Random(0)

    def start(run: Path, killer: tuple[str, int] | None = None):
        process = context.Process(target=train_teacher, args=(run, given, killer))
        process.start()
        return process

    first = context.Process(target=os.getpid)  # waits for the server's imports
    first.start()
    first.join(300)
    began = time.monotonic()
    process = start(whole)
    process.join(300)
    assert process.exitcode == 0
    a_step = loop.load_state(whole)["seconds"] / STEPS
    starting = time.monotonic() - began - a_step * STEPS
    for moment in range(MOMENTS):
        before = newest(killed)
        if moment % 4 == 0:  # in the midst of saving; at first, of the note that latents are whole
            process = start(killed, KILLERS[moment // 4 - 1] if moment else ("os.replace", 1))
        elif moment % 4 == 1:  # at any moment, mostly of its start
            process = start(killed)
            time.sleep(rng.uniform(0.1, 1) * starting)
            os.kill(process.pid, signal.SIGKILL)
        else:  # once it got further
            process = start(killed)
            deadline = time.monotonic() + 120
            while newest(killed) <= before and time.monotonic() < deadline:
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 1.5 * a_step))
            os.kill(process.pid, signal.SIGKILL)
        process.join(120)
        assert process.exitcode == -signal.SIGKILL, "it should not have ended by itself"
        assert newest(killed) >= before
    assert 0 < newest(killed) < STEPS and not (killed / "result.json").exists()
    process = start(killed)
    process.join(300)
    assert process.exitcode == 0
    for part in ("unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"):
        ours, wanted = load_file(killed / part), load_file(whole / part)
        assert ours.keys() == wanted.keys()
        assert all(torch.equal(ours[name], wanted[name]) for name in wanted)


@pytest.fixture
def resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Run a stage to its end, and another time with a break: both leave the same weights."""

    def both(name: str, train: Callable[[Path], None], at: int = 2) -> Path:
        whole, broken = tmp_path / name, tmp_path / f"{name}-broken"
        train(whole)
        chance = loop.chance

        def breaks(seed: int, step: int) -> torch.Generator:
            if step == at:
                raise KeyboardInterrupt
            return chance(seed, step)

        with monkeypatch.context() as patch:
            patch.setattr(loop, "chance", breaks)
            with pytest.raises(KeyboardInterrupt):
                train(broken)
        assert not (broken / "result.json").exists()
        train(broken)
        files = [path.relative_to(whole) for path in whole.rglob("*.safetensors")]
        assert files
        for file in files:
            first, second = load_file(whole / file), load_file(broken / file)
            assert all(torch.equal(first[name], second[name]) for name in first | second), file
        if (whole / "metrics.jsonl").exists():
            told = [(run / "metrics.jsonl").read_text().splitlines()[-1] for run in (whole, broken)]
            assert told[0] == told[1]
        return whole

    return both


FEW = {"steps": 4, "batch": 2, "lr": 1e-3, "seed": 1, "save_seconds": 0}
SOME = {"pictures": 8, "resolution": 64}


def test_stages_of_pictures_resume(resumes, monkeypatch: pytest.MonkeyPatch) -> None:
    vae = resumes("v", lambda run: autoencoder.train(run, width=12, **SOME, **FEW))
    with pytest.raises(loop.TrainingError, match="--keep-latents needs --begin"):
        autoencoder.train(vae / "k", width=12, keep_latents=True, **SOME, **FEW)
    kept = resumes("k", lambda run: autoencoder.train(
        run, width=12, begin=vae, keep_latents=True, **SOME, **FEW))  # fmt: skip
    before, after = (load_file(run / "vae" / WEIGHTS) for run in (vae, kept))
    moved = {
        name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])
    }
    assert {name.partition(".")[0] for name in moved} == {"decoder"}
    hands = resumes("h", lambda run: autoencoder.train(
        run, width=12, begin=vae, keep_latents=True, hands=2, **SOME, **FEW))  # fmt: skip
    before, after = (load_file(run / "vae" / WEIGHTS) for run in (vae, hands))
    assert not any(torch.equal(before[name], after[name]) for name in before)
    assert stage.read(hands)["psnr_anime"] > 0
    resumes("x", lambda run: text.train(run, preset="toy", **FEW))
    resumes("c", lambda run: encoders.train(run, autoencoder=vae, kind="vit", **SOME, **FEW))
    resumes("n", lambda run: depth.train(run, kind="network", **SOME, **FEW))
    resumes("j", lambda run: depth.train(run, kind="judge", **SOME, **FEW))
    judges = {"autoencoder": vae, "held_out": 2, **SOME, **FEW}
    resumes("e", lambda run: evaluator.train(run, **judges))
    styled = resumes("s", lambda run: evaluator.train(
        run, hands=True, **{**judges, "pictures": 24}))  # fmt: skip
    assert {"plain_a", "anime_hand", "woodcut_iou"} <= stage.read(styled).keys()


def test_stages_of_latents_resume(given: Path, resumes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "compared", lambda *_: {})
    vae = {"autoencoder": given / "v"}
    few = {**vae, **FEW}
    large = resumes("t", lambda run: teacher.train(
        run, text=given / "x", preset="toy", layout="sd", segment=0.2, **SOME, **few))  # fmt: skip
    tiny = resumes("b", lambda run: blocks.train(run, teacher=large, weight=1.0, pictures=8, **few))
    with pytest.raises(loop.TrainingError, match="other layers: give its own --preset and"):
        teacher.train(large.parent / "o", text=given / "x", begin=large, preset="toy",
                      layout="sdxs", segment=0.2, **SOME, **few)  # fmt: skip
    flat = resumes("l", lambda run: straighten.train(
        run, teacher=tiny, guidance=3.0, pictures=8, **few))  # fmt: skip
    made = resumes("p", lambda run: pairs.make(
        run, teacher=flat, count=192, steps=2, guidance=1.0, seed=3))  # fmt: skip
    assert Pairs(made).guidance == 3 and len(Pairs(made).prompts) == 192
    with pytest.raises(loop.TrainingError, match="holds pairs with steps=2, not 5"):
        pairs.make(made, teacher=flat, count=192, steps=5, guidance=1.0, seed=3)
    model = {"teacher": tiny, "pairs": made}
    resumes("a", lambda run: decoder.train(run, pairs=made, width=8, scale=8, gan=1.0, held_out=2,
                                           **SOME, **few))  # fmt: skip
    first = resumes("w", lambda run: warmup.train(run, matching=1.0, mse=0.3, **model, **FEW))
    model |= {"begin": first}
    resumes("d", lambda run: distill.train(
        run, online_steps=2, online_first=1, online_lr=3e-4, guidance=None, fixed=False, **model,
        **FEW))  # fmt: skip
    seen = resumes(
        "e", lambda run: reader.train(run, width=16, robust=0.3, held_out=2, **SOME, **few)
    )
    among = {"begin": first, "autoencoder": given / "v", "reader": seen, "guard": seen,
              "pictures": 8, "held_out": 2, "online_steps": 1, "online_first": 1,
              "online_lr": 3e-4, "guidance": None, "fixed": False, **FEW}  # fmt: skip
    every = {"adversary": 1.5, "reward": 1.0, "keep": 0.3}
    for name, given_weights, others in (
        ("z", Weights(**every), {"scores": 0.0}),
        ("u", Weights(**every), model),
        ("o", Weights(adversary=1.0), {"critic": "online", "reader": None, **model}),
        ("k", Weights(adversary=1.0), {"scores": 0.0, "reader": None, "guard": None}),
    ):
        told = resumes(
            name,
            lambda run, w=given_weights, o=others: distill.train(run, judged=w, **{**among, **o}),
        )
        before, after = (load_file(run / "unet" / WEIGHTS) for run in (first, told))
        assert not any(torch.equal(before[name], after[name]) for name in before)
    for wrong, message in (
        ({"scores": 1.0}, "scores need --teacher and --pairs"),
        ({"judged": Weights(adversary=1.0), "critic": "online"}, "needs scores"),
        ({"judged": Weights()}, "nothing to learn by"),
        ({"judged": Weights(adversary=1.0), "autoencoder": None}, "need --autoencoder"),
        ({"judged": Weights(reward=1.0), "reader": None}, "needs --reader"),
    ):
        with pytest.raises(loop.TrainingError, match=message):
            distill.train(large.parent / "o", **{**among, "scores": 0.0, **wrong})
    resumes("g", lambda run: texture.train(run, rank=2, gan=0.02, **model, **FEW))
    twice = resumes("2", lambda run: doubling.train(
        run, model=first, width=8, gan=0.1, pictures=4, paintings=4, held_out=2,
        **few), at=3)  # fmt: skip
    assert stage.read(twice)["psnr_in_boxes"] > 0
    resumes("h", lambda run: decoder.train(
        run, pairs=made, painted_by=given / "v", hands=True, width=None, scale=8, gan=1.0,
        held_out=2, **SOME, **few))  # fmt: skip

    draw.draw(large.parent / "drawn", "anime", 6, 1, 64)
    worn = resumes("y", lambda run: style.train(
        run, teacher=tiny, pictures=large.parent / "drawn", rank=2, below=0.8, **few))  # fmt: skip
    dressed = resumes("q", lambda run: pairs.make(
        run, teacher=tiny, style=worn, count=192, steps=2, guidance=3.0, seed=3))  # fmt: skip
    plain = pairs.make(large.parent / "r", teacher=tiny, count=192, steps=2, guidance=3.0, seed=3)
    assert plain is None and not torch.equal(
        Pairs(dressed).latents, Pairs(large.parent / "r").latents
    )
    with pytest.raises(loop.TrainingError, match="holds pairs with style="):
        pairs.make(dressed, teacher=tiny, count=192, steps=2, guidance=3.0, seed=3)
    wears = {"teacher": tiny, "style": worn, "student": first, "rank": 2, "online_steps": 2,
             "online_first": 1, "online_lr": 3e-4, **FEW}  # fmt: skip
    styled = resumes("i", lambda run: style_distill.train(run, pairs=dressed, **wears))
    uncarried = resumes("j", lambda run: style_distill.train(
        run, pairs=made, uncarried=True, **wears))  # fmt: skip
    assert [stage.read(run)["uncarried"] for run in (styled, uncarried)] == [False, True]
    resumes("m", lambda run: style_distill.train(run, pairs=dressed, plain_mse=True, **wears))
    for wrong, why in (
        ({"pairs": made, "plain_mse": True}, "are not in the style"),
        ({"pairs": made}, "are not in the style"),
        ({"pairs": dressed, "uncarried": True}, "takes plain pairs"),
    ):
        with pytest.raises(loop.TrainingError, match=why):
            style_distill.train(large.parent / "o", **wrong, **wears)

    more = {"teacher": large, "pictures": 8, **few}
    full = resumes("f", lambda run: control.train(run, control="sketch", **more))
    slim = resumes("s", lambda run: control_blocks.train(
        run, control=full, tiny=tiny, weight=1.0, **more))  # fmt: skip
    with pytest.raises(loop.TrainingError, match="needs --depth"):
        control.train(full.parent / "o", control="depth", **more)
    steered = {"teacher": tiny, "full": full, "student": first, "pairs": made, **few}
    narrow = resumes("n", lambda run: control.train(
        run, control="sketch", **{**more, "teacher": tiny}))  # fmt: skip
    unlike = []
    for rho in (0.0, 1.0):
        follows = full.parent / f"rho-{rho}"
        steer.train(follows, begin=slim, warmup=2, online_steps=2, online_first=1, online_lr=3e-4,
                    rho=rho, **{**steered, "full": narrow, "steps": 2, "lr": 0.1})  # fmt: skip
        unlike.append(load_file(follows / "control" / WEIGHTS))
    assert any(not torch.equal(unlike[0][name], unlike[1][name]) for name in unlike[0])
    led = resumes("c", lambda run: steer.train(
        run, begin=slim, warmup=2, online_steps=2, online_first=1, online_lr=3e-4, rho=0.5,
        **{**steered, "full": narrow, "steps": 5, "lr": 0.1}), at=4)  # fmt: skip
    assert {part.dtype for part in load_file(led / "control" / WEIGHTS).values()} == {torch.float16}
    for earlier, later in ((full, slim), (slim, led)):  # all of it learns
        before, after = (load_file(run / "control" / WEIGHTS) for run in (earlier, later))
        assert not any(
            torch.equal(before[name].to(after[name].dtype), after[name])
            for name in before.keys() & after.keys()
            if before[name].shape == after[name].shape
        )
    for wrong, message in [
        ({"full": full}, "made for another model"),
        ({"full": narrow, "steps": 3}, "3 steps are not enough: 2 are feature matching's"),
    ]:
        with pytest.raises(loop.TrainingError, match=message):
            steer.train(full.parent / "o", begin=slim, warmup=2, online_steps=2, online_first=1,
                        online_lr=3e-4, rho=0.5, **{**steered, **wrong})  # fmt: skip
