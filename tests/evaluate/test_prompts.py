"""Prompts of every kind of file, and what is said of files that are not right."""

import json
from pathlib import Path

import pytest

from sdxs.errors import InputError
from sdxs.evaluate.prompts import read_prompts

ROWS = [
    {"id": 1, "caption": "a fox, running"},
    {"id": 2, "caption": " "},
    {"id": 3, "caption": "é"},
]
WANTED = ["a fox, running", "é"]


def written(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.txt", "\ufeffa fox, running\r\n\n  é\n"),
        ("p.jsonl", "\n".join(json.dumps(row) for row in ROWS) + "\n\n"),
        ("p.csv", 'id,caption\n1,"a fox, running"\n2, \n3,é\n'),
        ("p.tsv", "id\tcaption\n1\ta fox, running\n2\t\n3\té\n"),
    ],
)
def test_every_kind(name: str, text: str, tmp_path: Path) -> None:
    file = written(tmp_path, name, text)
    assert read_prompts(file) == WANTED
    assert read_prompts(file, count=1) == WANTED[:1] and read_prompts(file, count=9) == WANTED


def test_a_field_by_its_name(tmp_path: Path) -> None:
    file = written(tmp_path, "p.jsonl", '{"caption": "a", "prompt": "b"}\n')
    assert read_prompts(file, "caption") == ["a"]
    with pytest.raises(InputError, match=r"fields caption, prompt: say by --field"):
        read_prompts(file)
    with pytest.raises(InputError, match=r"row 1 has no text in a field 'captoin': did you mean c"):
        read_prompts(file, "captoin")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("p.txt", b" \n", "holds no prompt"),
        ("p.txt", b"\xff\xfe", "is not UTF-8"),
        ("p.jsonl", b'{"prompt": "a"}\n[1]\n', "line 2 is no JSON object"),
        ("p.jsonl", b'{"prompt": 3}\n', "no text in a field 'prompt'"),
        ("p.json", b"[]", "read from .txt, .jsonl"),
        ("p.csv", b"a,b\n1,2\n", "fields a, b"),
    ],
)
def test_mistakes(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_prompts(tmp_path / name)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_prompts(tmp_path / "p.txt")
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(InputError, match="Is a directory"):
        read_prompts(tmp_path / "folder.txt")
