"""Pairs in a folder: read by row, waited for, and read while more are made."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sdxs.train import distill, pairs, warmup
from sdxs.train.parts import pairs as read
from sdxs.train.parts.pairs import CHUNK, Pairs, chunk_file
from sdxs.train.parts.prompts import Grammar
from sdxs.train.parts.solver import Model
from sdxs.train.run import loop, stage

MADE = {"steps": 1, "guidance": 1.0, "within": 1.0, "seed": 3, "teacher": "t"}
pytestmark = pytest.mark.usefixtures("tables")


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
    assert len(data.latents) == len(every) == 4 * CHUNK
    for part in (slice(None), slice(70), slice(60, 200), slice(-70, None), slice(130, 140),
                 slice(3, 3), slice(CHUNK, 2 * CHUNK), slice(None, -4 * CHUNK)):  # fmt: skip
        assert torch.equal(data.latents[part], every[part]), part
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
