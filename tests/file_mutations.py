"""What goes wrong with single files and with shards, each at random; see `mutations`.

A single file lies in its folder as a control's weights do: what spoils those spoils it, too.
"""

import random
from pathlib import Path

import torch
from edits import config, weights
from mutations import (
    Canary,
    Mutation,
    bloated,
    header,
    missing_key,
    overlapping,
    truncated,
    with_header,
    wrong_header,
    wrong_shape,
)

from sdxs.checkpoint.single_file import PREFIXES

SINGLE = "diffusion_pytorch_model.safetensors"
INDEX = f"{SINGLE}.index.json"
ODD = [
    "input_blocks.999.0.op.weight", "input_blocks.0.0.op.weight", "output_blocks.77.9.x.bias",
    "middle_block.1.x.weight", "up_blocks.0.attentions.0.norm.weights", "", ".", "..", "a" * 5000,
    "a." * 2000, "\n\x1b[31m", "__class__", "mid_block.resnets.0.norm1.weight",
]  # fmt: skip


def odd_name(rng: random.Random, folder: Path, canary: Path) -> None:
    """A tensor that is no part of the network."""
    with weights(folder / SINGLE) as tensors:
        beginnings = [each for each in PREFIXES if any(key.startswith(each) for key in tensors)]
        tensors[rng.choice(beginnings) + rng.choice(ODD)] = torch.zeros(2, 2)


def odd_shape(rng: random.Random, folder: Path, canary: Path) -> None:
    with weights(folder / SINGLE) as tensors:
        shape = rng.choice([(), (0,), (1,), (0, 10**6), (10**7, 0), (1,) * 12, (3, 5), (0,) * 4])
        tensors[rng.choice(sorted(tensors))] = torch.zeros(shape)


def odd_kind(rng: random.Random, folder: Path, canary: Path) -> None:
    kinds = [torch.int8, torch.bool, torch.int64, torch.uint8, torch.int32]
    with weights(folder / SINGLE) as tensors:
        key = rng.choice(sorted(tensors))
        tensors[key] = tensors[key].to(rng.choice(kinds))


def one_part_gone(rng: random.Random, folder: Path, canary: Path) -> None:
    with weights(folder / SINGLE) as tensors:
        first = rng.choice(sorted({key.split(".")[0] for key in tensors}))
        for key in [key for key in tensors if key.startswith(first)]:
            tensor = tensors.pop(key)
            if rng.random() < 0.5:
                tensors[f"other.{key}"] = tensor


def twice(rng: random.Random, folder: Path, canary: Path) -> None:
    """The same tensor by both names."""
    with weights(folder / SINGLE) as tensors:
        key = rng.choice([key for key in tensors if "time_embed" in key])
        names = ["unet.time_embedding.linear_1.bias", "unet.time_embed.0.bias",
                 "model.diffusion_model.time_embedding.linear_1.bias",
                 "model.diffusion_model.time_embed.0.bias"]  # fmt: skip
        for name in rng.sample(names, 3):
            tensors[name] = tensors[key].flatten()[:1].clone()


def many_names(rng: random.Random, folder: Path, canary: Path) -> None:
    names = ["down_blocks.{}.resnets.0.conv1.weight", "input_blocks.{}.0.op.weight",
             "down_blocks.1.resnets.{}.conv1.weight", "up_blocks.{}.attentions.0.norm"]  # fmt: skip
    name = rng.choice(names)
    with weights(folder / SINGLE) as tensors:
        for number in range(500):
            tensors[f"model.diffusion_model.{name.format(number)}"] = torch.zeros(1, 1)


def no_tokenizer(rng: random.Random, folder: Path, canary: Path) -> None:
    (folder / "tokenizer/tokenizer.json").unlink()


def odd_scheduler(rng: random.Random, folder: Path, canary: Path) -> None:
    (folder / "scheduler").mkdir()
    texts = ["{}", "[]", "", '{"_class_name": "os.system"}', "[" * 10_000]
    (folder / "scheduler/scheduler_config.json").write_text(rng.choice(texts))


def as_a_pickle(rng: random.Random, folder: Path, canary: Path) -> None:
    (folder / SINGLE).unlink()
    name = rng.choice([SINGLE, "model.ckpt", "model.pt", "model.bin", "model.pth"])
    torch.save({"state_dict": Canary(canary)}, folder / name)


def another_beside(rng: random.Random, folder: Path, canary: Path) -> None:
    (folder / rng.choice(["a.safetensors", "z\n.safetensors"])).write_bytes(b"x")


def index_text(rng: random.Random, folder: Path, canary: Path) -> None:
    texts = ["", "null", "[]", "{}", '{"weight_map": []}', '{"weight_map": {}}', "[" * 100_000,
             '{"weight_map": "x"}', '{"weight_map": null}', "\x00"]  # fmt: skip
    (folder / INDEX).write_text(rng.choice(texts))


def index_place(rng: random.Random, folder: Path, canary: Path) -> None:
    """A tensor that the index puts where it is not, or nowhere that may be read."""
    places = ["../x.safetensors", "/etc/passwd", "..", "", "x", "a/b.safetensors", "\n.safetensors",
              ".hidden.safetensors", "x" * 5000 + ".safetensors", "x\\y.safetensors", 3, None, [],
              {}, "none.safetensors"]  # fmt: skip
    with config(folder / INDEX) as index:
        where = index["weight_map"]
        others = sorted(set(where.values()))
        key = rng.choice(sorted(where))
        others.remove(where[key])
        where[key] = rng.choice([*places, *others * 9])


def index_keys(rng: random.Random, folder: Path, canary: Path) -> None:
    """A tensor that the index does not know, or one that there is not."""
    with config(folder / INDEX) as index:
        where = index["weight_map"]
        if rng.random() < 0.5:
            del where[rng.choice(sorted(where))]
        else:
            where[rng.choice(["x", "", "a" * 5000, "\n"])] = rng.choice(sorted(where.values()))


def shard_gone(rng: random.Random, folder: Path, canary: Path) -> None:
    shard(rng, folder).unlink()


def shard_torn(rng: random.Random, folder: Path, canary: Path) -> None:
    file = shard(rng, folder)
    content = file.read_bytes()
    file.write_bytes(content[: rng.randint(0, len(content) - 1)])


def shard_header(rng: random.Random, folder: Path, canary: Path) -> None:
    file = shard(rng, folder)
    about, data = header(file)
    with_header(file, about, data, rng.choice([2**63, 2**40, 10**8, len(data) * 9, 3]))


def shard_of_another(rng: random.Random, folder: Path, canary: Path) -> None:
    """The same tensor in two shards, or the files changed about."""
    one, two = sorted(folder.glob("*-of-*.safetensors"))[:2]
    if rng.random() < 0.5:
        one.rename(folder / "x")
        two.rename(one)
        (folder / "x").rename(two)
    else:
        with weights(one) as here, weights(two) as there:
            key = rng.choice(sorted(here))
            there[key] = here[key]


def shard_as_a_pickle(rng: random.Random, folder: Path, canary: Path) -> None:
    torch.save({"x": Canary(canary)}, shard(rng, folder))


def shard(rng: random.Random, folder: Path) -> Path:
    return rng.choice(sorted(folder.glob("*-of-*.safetensors")))


def index_without_shards(rng: random.Random, folder: Path, canary: Path) -> None:
    for file in folder.glob("*-of-*.safetensors"):
        file.unlink()


def other_variants(rng: random.Random, folder: Path, canary: Path) -> None:
    (folder / INDEX).unlink()
    for name in rng.sample(["ema", "bf16", "non_ema", "x-y", "8bit"], rng.randint(2, 4)):
        (folder / f"diffusion_pytorch_model.{name}.safetensors").write_bytes(b"x")


FILE_MUTATIONS: list[Mutation] = [
    missing_key, wrong_shape, truncated, bloated, overlapping, wrong_header, odd_name, odd_shape,
    odd_kind, one_part_gone, twice, many_names, no_tokenizer, odd_scheduler, as_a_pickle,
    another_beside,
]  # fmt: skip
SHARD_MUTATIONS: list[Mutation] = [
    index_text, index_place, index_keys, shard_gone, shard_torn, shard_header, shard_of_another,
    shard_as_a_pickle, index_without_shards, other_variants,
]  # fmt: skip
CONTROL_FILE_MUTATIONS: list[Mutation] = [
    missing_key, wrong_shape, truncated, bloated, overlapping, wrong_header, odd_shape, odd_kind,
]  # fmt: skip
