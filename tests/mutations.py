"""What goes wrong with the files of checkpoints, styles and controls, each at random.

A mutation takes chance, a folder, which it spoils, and a file that no code in it may make.
"""

import json
import random
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

WEIGHTS = [
    "unet/diffusion_pytorch_model.safetensors",
    "text_encoder/model.safetensors",
    "text_encoder_2/model.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
    "vae_large/diffusion_pytorch_model.safetensors",
    "safety_checker/model.safetensors",
]
CONFIGS = {  # file -> settings without which nothing can be built, or of which the type counts
    "unet/config.json": [
        "block_out_channels", "down_block_types", "up_block_types", "cross_attention_dim",
        "sample_size", "layers_per_block", "norm_num_groups", "_class_name",
    ],
    "text_encoder/config.json": [
        "hidden_size", "num_hidden_layers", "vocab_size", "max_position_embeddings",
        "architectures", "num_attention_heads",
    ],
    "text_encoder_2/config.json": ["hidden_size", "projection_dim", "num_hidden_layers"],
    "vae/config.json": [
        "num_decoder_blocks", "decoder_block_out_channels", "_class_name", "scaling_factor",
    ],
    "scheduler/scheduler_config.json": ["num_train_timesteps", "beta_schedule", "_class_name"],
    "safety_checker/config.json": ["vision_config", "architectures"],
    "feature_extractor/preprocessor_config.json": ["size", "crop_size", "image_std"],
}  # fmt: skip
WRONG: list[Any] = [
    {}, [], "many", -1, 10**12, 1e308, [10**9] * 3, "../../etc/passwd", {"a": {"b": []}}, True,
]  # fmt: skip

Mutation = Callable[[random.Random, Path, Path], None]


def header(file: Path) -> tuple[dict[str, Any], bytes]:
    content = file.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def with_header(file: Path, about: Any, data: bytes, length: int | None = None) -> None:
    text = json.dumps(about).encode()
    file.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)


def one_of(rng: random.Random, folder: Path, names: Iterable[str]) -> Path:
    return rng.choice([folder / name for name in names if (folder / name).exists()])


def missing_key(rng: random.Random, folder: Path, canary: Path) -> None:
    file = one_of(rng, folder, WEIGHTS)
    weights = load_file(file)
    for key in rng.sample(sorted(weights), rng.randint(1, 3)):
        del weights[key]
    save_file(weights, file)


def wrong_shape(rng: random.Random, folder: Path, canary: Path) -> None:
    file = one_of(rng, folder, WEIGHTS)
    weights = load_file(file)
    key = rng.choice(sorted(weights))
    weights[key] = torch.zeros(*weights[key].shape, rng.randint(2, 3))
    save_file(weights, file)


def surplus_key(rng: random.Random, folder: Path, canary: Path) -> None:
    file = one_of(rng, folder, WEIGHTS)
    weights = load_file(file)
    weights[rng.choice(["../x", "__class__", "a" * 5000, "\n\r\x1b[31m", "unet.conv"])] = (
        torch.zeros(1)
    )
    save_file(weights, file)


def truncated(rng: random.Random, folder: Path, canary: Path) -> None:
    file = one_of(rng, folder, WEIGHTS)
    content = file.read_bytes()
    file.write_bytes(content[: rng.randint(0, len(content) - 1)])


def bloated(rng: random.Random, folder: Path, canary: Path) -> None:
    file = one_of(rng, folder, WEIGHTS)
    about, data = header(file)
    with_header(file, about, data, rng.choice([2**63, 2**40, 10**8, len(data) * 9, 3]))


def overlapping(rng: random.Random, folder: Path, canary: Path) -> None:
    file = one_of(rng, folder, WEIGHTS)
    about, data = header(file)
    keys = [key for key in about if key != "__metadata__"]
    one, two = rng.sample(keys, 2)
    about[one]["data_offsets"] = rng.choice(
        [about[two]["data_offsets"], [0, 2**40], [8, 4], [-4, 4]]
    )
    with_header(file, about, data)


def wrong_header(rng: random.Random, folder: Path, canary: Path) -> None:
    file = one_of(rng, folder, WEIGHTS)
    about, data = header(file)
    key = rng.choice([key for key in about if key != "__metadata__"])
    field = rng.choice(["dtype", "shape", "data_offsets"])
    about[key][field] = rng.choice(["F99", [2**62, 2**62], -1, None, {}, [[]]])
    with_header(file, about, data)


def wrong_json(rng: random.Random, folder: Path, canary: Path) -> None:
    file = one_of(rng, folder, CONFIGS)
    config = json.loads(file.read_text())
    config[rng.choice(CONFIGS[str(file.relative_to(folder))])] = rng.choice(WRONG)
    file.write_text(json.dumps(config))


def no_json(rng: random.Random, folder: Path, canary: Path) -> None:
    file = one_of(rng, folder, [*CONFIGS, "model_index.json", "tokenizer/tokenizer.json"])
    texts = ["", "[" * 100_000, "\x00", "null", "[]", '"x"', "{" * 9, b"\xff\xfe>\xd8"]
    text = rng.choice(texts)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())


def gone(rng: random.Random, folder: Path, canary: Path) -> None:
    file = one_of(rng, folder, [*WEIGHTS, *CONFIGS, "model_index.json", "tokenizer/tokenizer.json"])
    file.unlink()


def path_tricks(rng: random.Random, folder: Path, canary: Path) -> None:
    """Shards named by an index file, somewhere else."""
    file = one_of(rng, folder, WEIGHTS)
    file.unlink()
    index = {"weight_map": {"conv_in.weight": rng.choice(["../../../etc/passwd", "/etc/passwd"])}}
    (file.parent / f"{file.name}.index.json").write_text(json.dumps(index))


def a_pickle(rng: random.Random, folder: Path, canary: Path) -> None:
    file = one_of(rng, folder, WEIGHTS)
    file.unlink()
    torch.save({"x": Canary(canary)}, file.with_suffix(rng.choice([".bin", ".safetensors"])))


def endless_pictures(rng: random.Random, folder: Path, canary: Path) -> None:
    """A safety checker or a tokenizer of sizes that nobody has."""
    file = folder / "safety_checker/config.json"
    config = json.loads(file.read_text())
    config["vision_config"] |= {"image_size": rng.choice([12_000, 10**6]), "patch_size": 1}
    file.write_text(json.dumps(config))


def odd_tokenizer(rng: random.Random, folder: Path, canary: Path) -> None:
    file = folder / "tokenizer/tokenizer_config.json"
    odd = rng.choice([{"pad_token": None}, {"model_max_length": -5}, {"model_max_length": "x"}])
    file.write_text(json.dumps(json.loads(file.read_text()) | odd))


def a_module(rng: random.Random, folder: Path, canary: Path) -> None:
    """Code beside the weights, named in the index as diffusers' custom pipelines are."""
    code = f"open({str(canary)!r}, 'w')"
    for name in ("pipeline.py", "unet/custom.py", "custom.py"):
        (folder / name).write_text(code)
    index = json.loads((folder / "model_index.json").read_text())
    index |= rng.choice(
        [
            {"_class_name": ["pipeline", "MyPipeline"]},
            {"_class_name": "pipeline.MyPipeline"},
            {"_class_name": "../pipeline"},
        ]
    )
    (folder / "model_index.json").write_text(json.dumps(index))


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (str(self.path), "w")


MUTATIONS: list[Mutation] = [
    missing_key, wrong_shape, surplus_key, truncated, bloated, overlapping, wrong_header,
    wrong_json, no_json, gone, path_tricks, a_pickle, endless_pictures, odd_tokenizer, a_module,
]  # fmt: skip
