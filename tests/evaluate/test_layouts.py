"""The layouts are read back as the benchmarks' own judges read them."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sdxs.errors import InputError
from sdxs.evaluate.layouts import LAYOUTS, Laid
from sdxs.evaluate.painters import Painter
from sdxs.evaluate.pictures import paint

METADATA: list[dict[str, Any]] = [
    {"tag": "single_object", "include": [{"class": "bench", "count": 1}],
     "prompt": "a photo of a bench"},
    {"tag": "colors", "include": [{"class": "cow", "count": 1, "color": "red"}],
     "prompt": "a photo of a red cow"},
]  # fmt: skip


def fill(laid: Laid, folder: Path) -> dict[str, tuple[int, int, int]]:
    """Paint, the colour saying which prompt and which sample; what there is by its place."""
    prompts = list(dict.fromkeys(task.prompt for task in laid.tasks))

    def brush(asked: Any, seeds: Any) -> list[Image.Image]:
        pairs = zip(asked, seeds, strict=True)
        return [Image.new("RGB", (4, 4), (prompts.index(p), seed, 0)) for p, seed in pairs]

    laid.write_texts(folder)
    paint(folder, laid.tasks, {}, lambda: Painter({}, brush), batch=3)
    found = sorted(folder.rglob("samples/*"))
    return {str(f.relative_to(folder)): Image.open(f).getpixel((0, 0)) for f in found}


def test_geneval(tmp_path: Path) -> None:
    file = tmp_path / "evaluation_metadata.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in METADATA))
    out = tmp_path / "out"
    _, read, samples = LAYOUTS["geneval"]
    assert samples == 4
    pictures = fill(read(file, samples, 42), out)
    folders = [name for name in sorted(os.listdir(out)) if name.isdigit()]  # as evaluate_images.py
    assert [json.loads((out / name / "metadata.jsonl").read_text()) for name in folders] == METADATA
    for index, name in enumerate(folders):
        names = sorted(os.listdir(out / name / "samples"))
        assert len(names) == 4 and all(re.match(r"\d+\.png", each) for each in names)
        colours = [pictures[f"{name}/samples/{each}"] for each in names]
        assert colours == [(index, 42 + number, 0) for number in range(4)]


def test_compbench(tmp_path: Path) -> None:
    file = tmp_path / "color_val.txt"
    file.write_text("a green bench and a blue bowl\tcolour\n\na red/white car_port\n")
    out = tmp_path / "out"
    _, read, samples = LAYOUTS["compbench"]
    assert samples == 10
    pictures = fill(read(file, 2, 7), out)
    assert pictures["samples/a green bench and a blue bowl_000000.png"] == (0, 7, 0)
    names = os.listdir(out / "samples")
    names.sort(key=lambda name: int(name.split("_")[-1].split(".")[0]))  # as BLIP_vqa.py
    assert [name.split("_")[0] for name in names] == [
        *2 * ["a green bench and a blue bowl"], *2 * ["a red white car port"],
    ]  # fmt: skip
    colours = [pictures[f"samples/{name}"] for name in names]
    assert colours == [(0, 7, 0), (0, 8, 0), (1, 7, 0), (1, 8, 0)]


def test_mistakes(tmp_path: Path) -> None:
    file = tmp_path / "file.jsonl"
    file.write_text('{"prompt": "a"}\n')
    with pytest.raises(InputError, match="has a prompt and a tag in each line"):
        LAYOUTS["geneval"][1](file, 1, 0)
    file.write_text("\n")
    for _, read, _ in LAYOUTS.values():
        with pytest.raises(InputError, match="holds no prompt"):
            read(file, 1, 0)
