"""A file of weights as shards with an index, as diffusers and transformers write large ones."""

import json
from pathlib import Path

from safetensors.torch import load_file, save_file

NAMES = "{stem}{number}.safetensors"


def split(file: Path, count: int = 2, names: str = NAMES, index: str = "") -> Path:
    """In the place of the file; the index."""
    tensors = load_file(file)
    weight_map: dict[str, str] = {}
    for number in range(count):
        keys = sorted(tensors)[number::count]
        name = names.format(stem=file.stem, number=f"-{number + 1:05d}-of-{count:05d}")
        save_file({key: tensors[key] for key in keys}, file.with_name(name))
        weight_map |= dict.fromkeys(keys, name)
    file.unlink()
    place = file.with_name(index or f"{file.name}.index.json")
    place.write_text(json.dumps({"metadata": {"total_size": 0}, "weight_map": weight_map}))
    return place
