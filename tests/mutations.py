"""What goes wrong with the files of checkpoints, styles and controls, each at random.

A mutation takes chance, a folder, which it spoils, and a file that no code in it may make. Of the
files that it may spoil it takes one that the folder has.
"""

import json
import random
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from edits import config, weights
from safetensors.torch import load_file, save_file

STYLE, SETTINGS = "adapter_model.safetensors", "adapter_config.json"
NAMED = "pytorch_lora_weights.safetensors"  # of a style, too, under the names of any program
WEIGHTS = [
    *(f"{part}/diffusion_pytorch_model.safetensors" for part in ("unet", "vae", "vae_large")),
    *(f"{part}/model.safetensors" for part in ("text_encoder", "text_encoder_2", "safety_checker")),
    *(STYLE, NAMED, "diffusion_pytorch_model.safetensors"),  # of a style, of a control
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
    "config.json": ["block_out_channels", "_class_name", "conditioning_embedding_out_channels"],
}  # fmt: skip
TEXTS = ["model_index.json", "tokenizer/tokenizer.json", SETTINGS]
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
    with weights(one_of(rng, folder, WEIGHTS)) as tensors:
        for key in rng.sample(sorted(tensors), rng.randint(1, 3)):
            del tensors[key]


def wrong_shape(rng: random.Random, folder: Path, canary: Path) -> None:
    with weights(one_of(rng, folder, WEIGHTS)) as tensors:
        key = rng.choice(sorted(tensors))
        tensors[key] = torch.zeros(*tensors[key].shape, rng.randint(2, 3))


def surplus_key(rng: random.Random, folder: Path, canary: Path) -> None:
    name = rng.choice(["../x", "__class__", "a" * 5000, "\n\r\x1b[31m", "unet.conv"])
    with weights(one_of(rng, folder, WEIGHTS)) as tensors:
        tensors[name] = torch.zeros(1)


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
    theirs = about[two]["data_offsets"]
    about[one]["data_offsets"] = rng.choice([theirs, [0, 2**40], [8, 4], [-4, 4]])
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
    with config(file) as settings:
        settings[rng.choice(CONFIGS[str(file.relative_to(folder))])] = rng.choice(WRONG)


def no_json(rng: random.Random, folder: Path, canary: Path) -> None:
    file = one_of(rng, folder, [*CONFIGS, *TEXTS])
    texts = ["", "[" * 100_000, "\x00", "null", "[]", '"x"', "{" * 9, b"\xff\xfe>\xd8"]
    text = rng.choice(texts)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())


def gone(rng: random.Random, folder: Path, canary: Path) -> None:
    one_of(rng, folder, [*WEIGHTS, *CONFIGS, *TEXTS]).unlink()


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
    with config(folder / "safety_checker/config.json") as settings:
        size = rng.choice([12_000, 10**6])
        settings["vision_config"] |= {"image_size": size, "patch_size": 1}


def odd_tokenizer(rng: random.Random, folder: Path, canary: Path) -> None:
    odd = [("pad_token", None), ("model_max_length", -5), ("model_max_length", "x")]
    with config(folder / "tokenizer/tokenizer_config.json") as settings:
        settings.update([rng.choice(odd)])


def a_module(rng: random.Random, folder: Path, canary: Path) -> None:
    """Code beside the weights, named in the index as diffusers' custom pipelines are."""
    code = f"open({str(canary)!r}, 'w')"
    for name in ("pipeline.py", "unet/custom.py", "custom.py"):
        (folder / name).write_text(code)
    names = [["pipeline", "MyPipeline"], "pipeline.MyPipeline", "../pipeline"]
    with config(folder / "model_index.json") as index:
        index["_class_name"] = rng.choice(names)


def style_without_a_key(rng: random.Random, folder: Path, canary: Path) -> None:
    with weights(folder / STYLE) as tensors:
        del tensors[rng.choice(sorted(tensors))]


def style_of_another_shape(rng: random.Random, folder: Path, canary: Path) -> None:
    with weights(folder / STYLE) as tensors:
        key = rng.choice(sorted(tensors))
        shape = rng.choice([(), (0,), (4,), (3, 5), (1, 1, 1, 1), (*tensors[key].shape, 2)])
        tensors[key] = torch.zeros(shape)


def style_of_odd_numbers(rng: random.Random, folder: Path, canary: Path) -> None:
    with weights(folder / STYLE) as tensors:
        key = rng.choice(sorted(tensors))
        odd = [tensors[key] * torch.nan, tensors[key] / 0, tensors[key].to(torch.complex64)]
        tensors[key] = rng.choice(odd).contiguous()


def style_with_an_odd_key(rng: random.Random, folder: Path, canary: Path) -> None:
    name = rng.choice(["../x", "__class__", "x" * 5000, "base_model.model.a\n\x1b[31m", ""])
    with weights(folder / STYLE) as tensors:
        tensors[name + rng.choice(["", ".lora_A.weight", ".alpha"])] = torch.zeros(4, 4)


def style_settings(rng: random.Random, folder: Path, canary: Path) -> None:
    wrong: list[tuple[str, Any]] = [
        ("lora_alpha", "much"), ("lora_alpha", {}), ("lora_alpha", True), ("use_dora", True),
        ("peft_type", "LOHA"), ("peft_type", {}), ("bias", "all"), ("modules_to_save", ["x"]),
        ("alpha_pattern", ["x"]), ("alpha_pattern", {"(a+)+$": 1}), ("lora_alpha", 1e308),
        ("r", 8), ("rank_pattern", {"to_q": 3}), ("init_lora_weights", "pissa_niter_4"),
    ]  # fmt: skip
    with config(folder / SETTINGS) as settings:
        settings.update([rng.choice(wrong)])


def style_as_a_pickle(rng: random.Random, folder: Path, canary: Path) -> None:
    (folder / STYLE).unlink()
    file = folder / STYLE.replace(".safetensors", ".bin")
    torch.save({"base_model.model.conv_in.lora_A.weight": Canary(canary)}, file)
    if rng.random() < 0.5:
        content = file.read_bytes()
        file.write_bytes(content[: rng.randint(0, len(content) - 1)])


def style_that_claims_to_be_large(rng: random.Random, folder: Path, canary: Path) -> None:
    (folder / STYLE).unlink()
    key = "base_model.model.conv_in.lora_A.weight"
    odd = rng.choice([Endless(), torch.zeros(10**6, device="meta"), torch.zeros(1).expand(10**9)])
    torch.save({key: odd}, folder / STYLE.replace(".safetensors", ".bin"))


def style_with_odd_notes(rng: random.Random, folder: Path, canary: Path) -> None:
    """diffusers' settings, in the header of its file."""
    (folder / SETTINGS).unlink()
    odd = ["", "[]", '{"unet.lora_alpha": "x"}', '{"unet": 3}', "[" * 100_000, '{"a.b": {}}']
    tensors = load_file(folder / STYLE)
    (folder / STYLE).unlink()
    file = folder / NAMED
    save_file(tensors, file, metadata={"lora_adapter_metadata": rng.choice(odd)})


def style_without_settings(rng: random.Random, folder: Path, canary: Path) -> None:
    (folder / SETTINGS).unlink()


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (str(self.path), "w")


class Endless:
    def __reduce__(self) -> Any:
        return bytearray, (10**9,)


MUTATIONS: list[Mutation] = [
    missing_key, wrong_shape, surplus_key, truncated, bloated, overlapping, wrong_header,
    wrong_json, no_json, gone, path_tricks, a_pickle, endless_pictures, odd_tokenizer, a_module,
]  # fmt: skip
STYLE_MUTATIONS: list[Mutation] = [
    style_without_a_key, style_of_another_shape, style_of_odd_numbers, style_with_an_odd_key,
    truncated, bloated, style_settings, no_json, style_as_a_pickle, style_that_claims_to_be_large,
    style_with_odd_notes, style_without_settings,
]  # fmt: skip
CONTROL_MUTATIONS: list[Mutation] = [wrong_json, missing_key, wrong_shape]
