"""Pairs: made by ranks, killed, gone on with by others; read while more are made."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from programs import ROOT, run
from safetensors.torch import load_file, save_file

from sdxs.storybook.world.tokenizer import build_tokenizer
from sdxs.train import distill, pairs, warmup
from sdxs.train.parts import pairs as read
from sdxs.train.parts.models import PRESETS, build_scheduler, build_text_encoder
from sdxs.train.parts.pairs import CHUNK, Pairs, chunk_file
from sdxs.train.parts.prompts import Grammar
from sdxs.train.parts.solver import Model
from sdxs.train.run import loop, stage

MADE = {"steps": 1, "guidance": 1.0, "within": 1.0, "seed": 3, "teacher": "t"}
pytestmark = pytest.mark.usefixtures("tables")

ASKED: dict[str, Any] = {"count": 4 * CHUNK, "steps": 1, "guidance": 1.0}


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As launchers have it; sums are in another order with more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def teacher(unet: UNet2DConditionModel, tmp_path: Path) -> Path:
    """A toy multi-step model as a stage leaves it."""
    folder, tokenizer = tmp_path / "teacher", build_tokenizer()
    unet.save_pretrained(folder / "unet")
    build_text_encoder(PRESETS["toy"], tokenizer).save_pretrained(folder / "text_encoder")
    tokenizer.save_pretrained(folder / "tokenizer")
    build_scheduler().save_pretrained(folder / "scheduler")
    (folder / stage.RESULT).write_text('{"stage": "teacher"}')
    return folder


@pytest.fixture
def prompts(tmp_path: Path) -> str:
    """A file of prompts, twice through which the chunks go."""
    file = tmp_path / "prompts.txt"
    file.write_text("".join(f"a fox of {i} pounds\n" for i in range(CHUNK + 36)))
    return str(file)


def make(run: Path, teacher: Path, **options: Any) -> Path:
    pairs.train(pairs.Options(run=run, teacher=teacher, **{**ASKED, **options}))
    return run


def bytes_of(run: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in run.glob("chunk-*.safetensors")}


def put(run: Path, number: int, prompts: list[str] | None = None) -> None:
    """A chunk of random numbers; without prompts, as chunks of before."""
    run.mkdir(exist_ok=True)
    generator = torch.Generator().manual_seed(number)
    noise, latents = torch.randn(2, CHUNK, 4, 8, 8, generator=generator).half()
    told = {"seconds": "2.5"} if prompts is None else {"prompts": json.dumps(prompts)}
    save_file({"noise": noise, "latents": latents}, chunk_file(run, number), told)


def being_made(run: Path, chunks: int = 1) -> Path:
    for number in range(chunks):
        put(run, number)
    (run / read.ABOUT).write_text(json.dumps(MADE))
    return run


def finish(run: Path) -> Path:
    (run / stage.RESULT).write_text('{"stage": "pairs"}')
    return run


@pytest.mark.parametrize("again", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_two_ranks_killed_in_the_middle_and_gone_on_with_give_the_bytes_of_one(
    again: int, teacher: Path, prompts: str, tmp_path: Path, one_thread: None
) -> None:
    whole = make(tmp_path / "whole", teacher, prompts=prompts)
    broken = tmp_path / "broken"
    asked = ["--run", broken, "--teacher", teacher, "--prompts", prompts]
    asked += [word for name, value in ASKED.items() for word in (f"--{name}", value)]
    launch = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = run(*launch, "--", ROOT / "tests/train/killed.py", *asked, env=env)
    assert killed.returncode != 0
    there = bytes_of(broken)
    assert chunk_file(broken, 3).with_suffix(".safetensors.part").exists()
    assert {"chunk-00000.safetensors", "chunk-00001.safetensors"} <= there.keys()
    assert "chunk-00003.safetensors" not in there and not (broken / stage.RESULT).exists()
    if again == 1:
        make(broken, teacher, prompts=prompts)
    else:
        done = run(*launch, "-m", "--", "sdxs.train.pairs", *asked, env=env)
        assert done.returncode == 0, done.stderr
    assert bytes_of(broken) == bytes_of(whole) and len(bytes_of(whole)) == 4
    assert there.items() <= bytes_of(broken).items()
    told = [stage.read(run) for run in (whole, broken)]
    for result in told:
        assert result.pop("hours") >= 0 and result.pop("at")
    assert told[0] == told[1] and told[0]["prompts"]["count"] == CHUNK + 36


def test_a_rank_makes_its_share_and_the_first_ends_it(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "p"
    monkeypatch.setattr(pairs, "launched", lambda: (1, 2))
    make(run, teacher)
    assert bytes_of(run).keys() == {"chunk-00001.safetensors", "chunk-00003.safetensors"}
    assert not (run / stage.RESULT).exists()
    taken = chunk_file(run, 3).rename(tmp_path / "late")
    monkeypatch.setattr(pairs, "launched", lambda: (0, 2))
    waited = []

    def sleep(_: float) -> None:
        waited.append((run / stage.RESULT).exists())
        taken.rename(chunk_file(run, 3))

    monkeypatch.setattr(pairs.time, "sleep", sleep)
    make(run, teacher)
    assert waited == [False] and stage.read(run)["count"] == 4 * CHUNK
    logs = sorted(file.name for file in run.glob("seconds*"))
    assert logs == ["seconds-1.jsonl", "seconds.jsonl"]

    def stops(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pairs, "save_file", stops)
    with pytest.raises(KeyboardInterrupt):
        make(run, teacher, count=5 * CHUNK)
    assert not (run / stage.RESULT).exists()  # of pairs that are being made again


def test_a_folder_says_its_prompts_and_where_fresh_ones_come_from(
    teacher: Path, prompts: str, tmp_path: Path
) -> None:
    run = make(tmp_path / "p", teacher, prompts=prompts, count=2 * CHUNK)
    data, generator = Pairs(run), loop.chance(0, 0)
    _, _, texts = data.at(torch.arange(2 * CHUNK))
    lines = Path(prompts).read_text().splitlines()
    assert sorted(texts[: CHUNK + 36]) == sorted(lines)
    _, fresh = data.fresh(300, generator)
    assert set(fresh) <= set(lines) and len(set(fresh)) > 80
    other = tmp_path / "other.txt"
    other.write_text("a hen\n")
    chosen = Pairs(run, str(other))
    assert chosen.fresh(2, generator)[1] == ["a hen", "a hen"]
    assert chosen.facts["prompts"]["count"] == 1 and chosen.facts["pairs"] == data.facts["pairs"]
    with pytest.raises(loop.TrainingError, match=r"holds pairs with prompts=\{.*or another --run"):
        make(run, teacher, prompts=str(other), count=2 * CHUNK)
    Path(prompts).rename(tmp_path / "moved.txt")
    make(run, teacher, prompts=str(tmp_path / "moved.txt"), count=2 * CHUNK)  # the same ones
    (tmp_path / "moved.txt").write_text("a cow\n")
    with pytest.raises(loop.TrainingError, match=r"no longer holds the prompts .*by --prompts"):
        Pairs(run).fresh(2, generator)
    (tmp_path / "moved.txt").unlink()
    left = Pairs(run)
    with pytest.raises(loop.TrainingError, match=r"there is no file .*fresh prompts by --prompts"):
        left.fresh(2, generator)
    assert left.batch(4, generator)[0].shape == (4, 4, 8, 8)  # the folder alone


def test_rows_are_read_as_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "OPEN", 2)
    run = finish(being_made(tmp_path / "p", chunks=4))
    put(run, 5)  # what comes after a gap is not there yet
    put(run, 2, prompts=[f"prompt {i}" for i in range(CHUNK)])
    data = Pairs(run)
    assert len(data) == 4 * CHUNK and data.facts["pairs"]["count"] == 4 * CHUNK
    rows = data.rows(40, loop.chance(0, 0))
    noise, latents, texts = data.at(rows)
    files = [load_file(chunk_file(run, number)) for number in range(4)]
    for name, ours in (("noise", noise), ("latents", latents)):
        every = torch.cat([file[name] for file in files])
        assert torch.equal(ours, every[rows].float()) and ours.dtype == torch.float32
    assert torch.equal(data.latents, torch.cat([file["latents"] for file in files]))
    said = [text for number in range(4) for text in Grammar().chunk(3, number, CHUNK)]
    said[2 * CHUNK : 3 * CHUNK] = [f"prompt {i}" for i in range(CHUNK)]
    assert texts == [said[row] for row in rows.tolist()]
    assert data._open.cache_info().currsize == 2
    assert not isinstance(data._open(0).noise, torch.Tensor)
    assert [part.shape[0] for part in data.batch(0, loop.chance(0, 0))[:2]] == [0, 0]
    assert pairs.spent_on(run, range(4)) == 3 * 2.5
    chunk_file(run, 1).write_bytes(b"torn")
    with pytest.raises(loop.TrainingError, match=r"chunk-00001.safetensors cannot be read"):
        Pairs(run).at(rows)


def test_pairs_that_are_not_there_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(loop.TrainingError, match=r"run python -m sdxs\.train\.pairs"):
        Pairs(tmp_path)
    run = being_made(tmp_path / "p", chunks=2)
    with pytest.raises(loop.TrainingError, match=r"still being made: .* --follow"):
        Pairs(run)
    assert read.begun(str(run)) == run
    with pytest.raises(Exception, match="is not what pairs leaves behind"):
        read.begun(str(tmp_path / "none"))
    more = iter((2, 3))
    monkeypatch.setattr(read.time, "sleep", lambda _: put(run, next(more)))
    data = Pairs(run, follow=4)
    assert len(data) == 4 * CHUNK and next(more, None) is None
    with pytest.raises(loop.TrainingError, match="finished with 4 chunks: --follow waits for 5"):
        Pairs(finish(run), follow=5)


def test_a_run_that_follows_resumes_exactly(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk comes after the first step, before the break, and is seen from the fourth on."""
    monkeypatch.setattr(read, "LOOK", 4)
    chance = loop.chance

    def train(name: str, growing: Path, breaks: int | None = None, **options: Any) -> Path:
        def step(seed: int, index: int) -> torch.Generator:
            if index == breaks:
                raise KeyboardInterrupt
            if index == 1 and seed == 4:
                put(growing, 1)
            return chance(seed, index)

        asked = {"steps": 6, "batch": 8, "lr": 1e-2, "seed": 4, "save_minutes": 0, "follow": 1}
        with monkeypatch.context() as patch:
            patch.setattr(loop, "chance", step)
            warmup.train(warmup.Options(run=tmp_path / name, offline=teacher, pairs=growing,
                                        **{**asked, **options}))  # fmt: skip
        return tmp_path / name / "unet/diffusion_pytorch_model.safetensors"

    grown = [being_made(tmp_path / f"p{i}", chunks=1 + (i == 2)) for i in range(3)]
    whole = train("whole", grown[0])
    with pytest.raises(KeyboardInterrupt):
        train("broken", grown[1], breaks=2)
    with pytest.raises(loop.TrainingError, match="was begun with pairs="):
        train("broken", finish(grown[1]), follow=None)
    with pytest.raises(loop.TrainingError, match="holds 2 chunks of pairs, of 3 that"):
        Pairs(grown[1], follow=1).load_state_dict({"seen": [[0, 3]], "chunks": 3})
    broken, at_once = train("broken", grown[1]), train("at once", grown[2])
    first, second, third = (load_file(file) for file in (whole, broken, at_once))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], third[name]) for name in first)
    state = loop.load_state(tmp_path / "broken")
    assert state is not None and state["pairs"]["seen"] == [[0, 1], [4, 2]]


def test_scores_follow_too_and_fresh_prompts_may_be_others(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, hens, cows = being_made(tmp_path / "p"), tmp_path / "hens.txt", tmp_path / "cows.txt"
    hens.write_text("a hen\n")
    cows.write_text("a cow\n")
    asked = {"offline": teacher, "student": teacher, "pairs": run, "follow": 1, "steps": 3,
             "batch": 4, "online_first": 1, "online_steps": 1, "save_minutes": 0}  # fmt: skip
    heard = []
    embed = Model.embed
    monkeypatch.setattr(
        Model, "embed", lambda self, texts: heard.extend(texts) or embed(self, texts)
    )
    distill.train(distill.Options(run=tmp_path / "d", prompts=str(hens), **asked))
    assert {"a hen"} < {*heard} and len({*heard}) > 2  # those of pairs, too
    state = loop.load_state(tmp_path / "d")
    assert state is not None and state["pairs"] == {"seen": [[0, 1]], "chunks": 1}
    assert state["settings"]["prompts"]["count"] == 1
    assert stage.read(tmp_path / "d")["pairs"]["follow"] == 1
    with pytest.raises(loop.TrainingError, match=r"was begun with prompts=\{"):
        distill.train(distill.Options(run=tmp_path / "d", prompts=str(cows), **asked))
