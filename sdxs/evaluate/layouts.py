"""Pictures in the layouts that the judges of two benchmarks read.

GenEval (arXiv 2310.11513) has `evaluation_metadata.jsonl` and reads `00000/metadata.jsonl` beside
`00000/samples/00000.png`, 4 of a prompt; T2I-CompBench (arXiv 2307.06350) has `*_val.txt` and reads
`samples/PROMPT_000000.png`, 10 of a prompt, numbered through. As their own scripts do, each prompt
begins again with the first seed. Knows nothing of models; the judges are not here.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sdxs.errors import InputError
from sdxs.evaluate.pictures import Task
from sdxs.evaluate.prompts import read_lines, read_text


@dataclass(frozen=True)
class Laid:
    """tasks: the pictures to be painted. texts: what else is written, by its place."""

    tasks: list[Task]
    texts: dict[Path, str]

    def write_texts(self, folder: Path) -> None:
        for place, text in self.texts.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_text(text, encoding="utf-8")


def geneval(file: Path, samples: int, seed: int) -> Laid:
    """Raises InputError."""
    tasks, texts = [], {}
    for index, row in enumerate(read_lines(file)):
        prompt = row.get("prompt")
        if not isinstance(prompt, str) or not isinstance(row.get("tag"), str):
            raise InputError(
                f"{file}, prompt {index}: GenEval's evaluation_metadata.jsonl has a prompt and a "
                "tag in each line"
            )
        folder = Path(f"{index:05}")
        texts[folder / "metadata.jsonl"] = json.dumps(row) + "\n"
        tasks += [
            Task(folder / f"samples/{number:05}.png", prompt, seed + number)
            for number in range(samples)
        ]
    return _some(Laid(tasks, texts), file)


def compbench(file: Path, samples: int, seed: int) -> Laid:
    """What follows a tab is not painted. "_" and "/" of a prompt are blanks in its pictures' names,
    in which the judges read up to the first "_". Raises InputError."""
    tasks: list[Task] = []
    for line in read_text(file):
        if prompt := line.partition("\t")[0].strip():
            name = prompt.replace("_", " ").replace("/", " ")
            tasks += [
                Task(Path(f"samples/{name}_{len(tasks) + number:06}.png"), prompt, seed + number)
                for number in range(samples)
            ]
    return _some(Laid(tasks, {}), file)


def _some(laid: Laid, file: Path) -> Laid:
    if not laid.tasks:
        raise InputError(f"{file} holds no prompt")
    return laid


LAYOUTS: dict[str, tuple[str, Callable[[Path, int, int], Laid], int]] = {
    "geneval": ("GenEval", geneval, 4),  # pictures of a prompt
    "compbench": ("T2I-CompBench", compbench, 10),
}
