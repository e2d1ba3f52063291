"""Sources of prompts: the same ones from every kind of file, each once before any twice."""

import hashlib
import itertools
import json
import random
import tracemalloc
from collections import Counter
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import chisquare

from sdxs.storybook.world.words import UNSEEN_PAIRS, WORDS
from sdxs.train.parts.prompts import Grammar, open_prompts, shuffled
from sdxs.train.run import loop

pytestmark = pytest.mark.usefixtures("tables")

TEXTS = ["a red fox", "", "a blue hen, asleep", " a boat \t", "  ", "Füchse", 'a "cat"']
KEPT = [text.strip() for text in TEXTS if text.strip()]


def written(folder: Path) -> list[str]:
    """The same prompts in files of every kind; how each is named as a source."""
    rows = [{"caption": text or None, "number": i} for i, text in enumerate(TEXTS)]
    (folder / "a.txt").write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    (folder / "bom.txt").write_text("\r\n".join(TEXTS), encoding="utf-8-sig", newline="")
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "a.jsonl").write_text(lines, encoding="utf-8")
    (folder / "a.json").write_text(json.dumps(rows), encoding="utf-8")
    table = pa.Table.from_pylist(rows)
    pq.write_table(table.append_column("text", table["caption"]), folder / "a.parquet")
    table.to_pandas().to_csv(folder / "a.csv", index=False)
    fields = {"a.parquet": ":caption", "a.csv": ":caption"}
    return [f"{file}{fields.get(file.name, '')}" for file in sorted(folder.iterdir())]


def test_every_kind_of_source_gives_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def from_hub(name: str, **how: object) -> datasets.Dataset:
        asked.append((name, how))
        return datasets.Dataset.from_dict({"prompt": TEXTS, "n": [0] * len(TEXTS)})

    monkeypatch.setattr(datasets, "load_dataset", from_hub)
    sources = written(tmp_path)
    assert len(sources) == 6
    found = [open_prompts(name) for name in (*sources, "some/set", "some/set@v2:prompt")]
    assert "a.txt: 2 of 7 rows are blank" in capsys.readouterr().err
    assert asked == [("some/set", {"revision": revision, "split": "train"})
                     for revision in (None, "v2")]  # fmt: skip
    first = found[0]
    assert sorted(first.chunk(1, 0, 2 * len(KEPT))) == sorted(2 * KEPT)
    for other in found:
        assert other.facts == first.facts and other.facts["count"] == len(KEPT)
        assert other.chunk(3, 2, 4) == first.chunk(3, 2, 4)
        assert open_prompts(other.source).facts == first.facts
    (tmp_path / "a.txt").write_text("\n".join(KEPT[:-1]), encoding="utf-8")
    changed = open_prompts(str(tmp_path / "a.txt"))
    assert changed.facts["fingerprint"] != first.facts["fingerprint"]


def test_chunks_take_each_once_before_any_twice(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n".join(f"number {i}" for i in range(50)))
    source = open_prompts(str(tmp_path / "a.txt"))
    taken = [text for number in range(8) for text in source.chunk(5, number, 20)]
    turns = [taken[:50], taken[50:100], taken[100:150]]
    assert [len(set(turn)) for turn in turns] == [50] * 3
    assert turns[0] != turns[1] != turns[2]
    assert source.chunk(5, 3, 20) == taken[60:80] != source.chunk(6, 3, 20)
    fresh = source.draw(random.Random(1), 400)
    assert fresh == source.draw(random.Random(1), 400) and len(set(fresh)) == 50


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 16, 17, 1000])
def test_the_order_is_one_of_all_places(count: int) -> None:
    assert sorted(shuffled(i, count, "3/0") for i in range(count)) == list(range(count))


def test_every_order_is_as_likely() -> None:
    orders = Counter(tuple(shuffled(i, 4, str(key)) for i in range(4)) for key in range(4800))
    assert set(orders) == set(itertools.permutations(range(4)))
    assert chisquare(list(orders.values())).pvalue > 0.001
    order = [shuffled(i, 4096, "a") for i in range(4096)]  # and what is next says nothing
    steps = Counter((b - a) % 4096 // 256 for a, b in itertools.pairwise(order))
    assert chisquare([steps[i] for i in range(16)]).pvalue > 0.001


def test_a_file_of_a_million_lines_is_not_held(tmp_path: Path) -> None:
    file = tmp_path / "many.txt"
    file.write_text("".join(f"{i}\n" for i in range(1_000_000)))
    assert open_prompts(str(file)).facts["count"] == 1_000_000  # as a table on the disk from now on
    tracemalloc.start()
    before = pa.total_allocated_bytes()
    source = open_prompts(str(file))
    texts = source.chunk(3, 9, 64) + source.draw(random.Random(0), 64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(set(texts)) > 120 and all(0 <= int(text) < 1_000_000 for text in texts)
    assert peak < 8e6 and pa.total_allocated_bytes() - before < 8e6  # as a list, 60 MB


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.txt", b"", "a.txt is empty: write a prompt"),
        ("a.txt", b"\n  \n", "holds no prompts: its 2 rows are blank"),
        ("a.txt", b"a fox\n\xff\xfe\n", "a.txt is not UTF-8: save it"),
        ("a.csv", b"text,n\n\xff\xfe,1\n", "a.csv is not UTF-8: save it"),
        ("a.csv", b"n,words\n1,a fox\n", "Say .*a.csv:FIELD, one of n, words"),
        ("a.csv", b"text,caption\na,b\n", "which field of .*a.csv are the prompts"),
        ("a.csv:words", b"n,text\n1,a fox\n", "a.csv has no field words: it has n, text"),
        ("a.csv:n", b"n,text\n1,a fox\n", "what is in n is not text"),
        ("a.jsonl", b'{"text": ["a", "b"]}\n', "what is in text is not text"),
        ("a.jsonl", b'{"text": "a"}\n{"text": \n', r"no prompts can be read from .*a.jsonl \(JSON"),
        ("a.parquet", b"text\na fox\n", r"no prompts can be read from .*a.parquet \(Parquet magic"),
        ("a.md", b"a fox\n", "a.md is no file of prompts: they are read from .txt"),
        ("missing.txt", None, "there is no file .*missing.txt"),
        ("", None, "is a folder: name one file in it"),
    ],
)
def test_wrong_use_is_answered_in_one_line(
    tmp_path: Path, name: str, content: bytes | None, why: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    if content is not None:
        (tmp_path / name.partition(":")[0]).write_bytes(content)
    with pytest.raises(loop.TrainingError, match=why) as error:
        open_prompts(str(tmp_path / name))
    assert "\n" not in str(error.value)
    assert not caplog.records  # the library says nothing beside it


def test_a_data_set_that_cannot_be_had_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        loop.TrainingError, match=r"from no/such@main \(.*is it a file, or"
    ) as error:
        open_prompts("no/such@main")
    assert "\n" not in str(error.value)


def test_the_grammar_gives_what_it_always_gave_and_never_unseen_colours() -> None:
    source = open_prompts(None)
    assert isinstance(source, Grammar) and source.facts == {} and source.source is None
    texts = "\n".join(source.chunk(3, 7, 64))
    wanted = "d5827b95363cb15f425d742f390053de34a03a4014859f03b214ff62a0e135b7"
    assert hashlib.sha256(texts.encode()).hexdigest() == wanted
    assert source.chunk(3, 7, 64) == source.draw(random.Random("3/7"), 64)
    texts = "\n".join(text for number in range(40) for text in source.chunk(3, number, 64))
    for colour, kind in UNSEEN_PAIRS:
        assert not [w for w in WORDS["things"][kind] if f"{colour} {w}" in texts]
