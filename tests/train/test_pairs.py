"""Pairs: made by ranks, killed, gone on with by others; of which prompts, how many at a time."""

import json
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from programs import ROOT, run
from safetensors.torch import load_file

from sdxs.train import pairs
from sdxs.train.parts.pairs import CHUNK, Pairs, chunk_file
from sdxs.train.parts.solver import Model
from sdxs.train.run import loop, stage

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


@pytest.mark.parametrize("again", [1, pytest.param(2, marks=pytest.mark.long)])
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


def test_pairs_are_painted_a_few_at_a_time(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    painted, sample = [], Model.sample

    def counted(self: Model, texts: list[str], noise: torch.Tensor, *how: Any) -> torch.Tensor:
        painted.append((len(texts), len(noise)))
        return sample(self, texts, noise, *how)

    monkeypatch.setattr(Model, "sample", counted)
    asked = {"count": CHUNK, "steps": 2, "guidance": 3.0}
    first, second = (
        load_file(chunk_file(make(tmp_path / f"{few}", teacher, micro_batch=few, **asked), 0))
        for few in (CHUNK, 24)
    )
    assert painted == [(n, n) for n in (CHUNK, 24, 24, 16)]
    assert torch.equal(first["noise"], second["noise"])
    torch.testing.assert_close(first["latents"], second["latents"], atol=2e-3, rtol=2e-3)
    told = [stage.read(tmp_path / f"{few}") for few in (CHUNK, 24)]
    assert told[0].keys() == told[1].keys() and "micro_batch" not in told[0]
    at_once, few = (Pairs(tmp_path / f"{few}").at(torch.arange(CHUNK))[2] for few in (CHUNK, 24))
    assert at_once == few


def test_what_is_not_finite_is_no_pair(teacher: Path, tmp_path: Path) -> None:
    with pytest.raises(loop.TrainingError, match="paints is not finite in float16: check its"):
        make(tmp_path / "p", teacher, count=CHUNK, steps=1, guidance=math.nan)
    assert not chunk_file(tmp_path / "p", 0).exists()


@pytest.mark.parametrize("learnt", [{"data": "f"}, {"pairs": {"prompts": {"count": 1}}}])
def test_a_model_of_other_words_is_not_given_the_storybooks(
    learnt: dict[str, Any], teacher: Path, prompts: str, tmp_path: Path
) -> None:
    (teacher / stage.RESULT).write_text(json.dumps({"stage": "teacher", **learnt}))
    with pytest.raises(loop.TrainingError, match=r"did not learn the storybook's .* by --prompts"):
        make(tmp_path / "p", teacher)
    assert not (tmp_path / "p").exists()
    make(tmp_path / "p", teacher, prompts=prompts, count=CHUNK)


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
    assert len(Pairs(run, side=64)) == 2 * CHUNK
    with pytest.raises(
        loop.TrainingError, match=r"are of 64 pixels a side, the model .* paints 512"
    ):
        Pairs(run, side=512)
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
