"""Ways to spoil a style and a control, beside those for a checkpoint in `mutations`."""

import json
import random
from pathlib import Path
from typing import Any

import torch
from mutations import WRONG, Canary, Mutation, header, with_header
from safetensors.torch import load_file, save_file

STYLE, SETTINGS = "adapter_model.safetensors", "adapter_config.json"


def style_without_a_key(rng: random.Random, folder: Path, canary: Path) -> None:
    weights = load_file(folder / STYLE)
    del weights[rng.choice(sorted(weights))]
    save_file(weights, folder / STYLE)


def style_of_another_shape(rng: random.Random, folder: Path, canary: Path) -> None:
    weights = load_file(folder / STYLE)
    key = rng.choice(sorted(weights))
    shape = rng.choice([(), (0,), (4,), (3, 5), (1, 1, 1, 1), (*weights[key].shape, 2)])
    weights[key] = torch.zeros(shape)
    save_file(weights, folder / STYLE)


def style_of_odd_numbers(rng: random.Random, folder: Path, canary: Path) -> None:
    weights = load_file(folder / STYLE)
    key = rng.choice(sorted(weights))
    odd = [weights[key] * torch.nan, weights[key] / 0, weights[key].to(torch.complex64)]
    weights[key] = rng.choice(odd).contiguous()
    save_file(weights, folder / STYLE)


def style_with_an_odd_key(rng: random.Random, folder: Path, canary: Path) -> None:
    weights = load_file(folder / STYLE)
    name = rng.choice(["../x", "__class__", "x" * 5000, "base_model.model.a\n\x1b[31m", ""])
    weights[name + rng.choice(["", ".lora_A.weight", ".alpha"])] = torch.zeros(4, 4)
    save_file(weights, folder / STYLE)


def style_truncated(rng: random.Random, folder: Path, canary: Path) -> None:
    content = (folder / STYLE).read_bytes()
    (folder / STYLE).write_bytes(content[: rng.randint(0, len(content) - 1)])


def style_bloated(rng: random.Random, folder: Path, canary: Path) -> None:
    about, data = header(folder / STYLE)
    length = rng.choice([2**63, 2**40, 10**8, len(data) * 9, 3])
    with_header(folder / STYLE, about, data, length)


def style_settings(rng: random.Random, folder: Path, canary: Path) -> None:
    config = json.loads((folder / SETTINGS).read_text())
    wrong: list[tuple[str, Any]] = [
        ("lora_alpha", "much"), ("lora_alpha", {}), ("lora_alpha", True), ("use_dora", True),
        ("peft_type", "LOHA"), ("peft_type", {}), ("bias", "all"), ("modules_to_save", ["x"]),
        ("alpha_pattern", ["x"]), ("alpha_pattern", {"(a+)+$": 1}), ("lora_alpha", 1e308),
        ("r", 8), ("rank_pattern", {"to_q": 3}), ("init_lora_weights", "pissa_niter_4"),
    ]  # fmt: skip
    config.update([rng.choice(wrong)])
    (folder / SETTINGS).write_text(json.dumps(config))


def style_without_json(rng: random.Random, folder: Path, canary: Path) -> None:
    texts = ["", "[" * 100_000, "\x00", "null", "[]", '"x"', "{" * 9]
    (folder / SETTINGS).write_text(rng.choice(texts))


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
    weights = load_file(folder / STYLE)
    (folder / STYLE).unlink()
    file = folder / "pytorch_lora_weights.safetensors"
    save_file(weights, file, metadata={"lora_adapter_metadata": rng.choice(odd)})


def style_without_settings(rng: random.Random, folder: Path, canary: Path) -> None:
    (folder / SETTINGS).unlink()


class Endless:
    def __reduce__(self) -> Any:
        return bytearray, (10**9,)


STYLE_MUTATIONS: list[Mutation] = [
    style_without_a_key, style_of_another_shape, style_of_odd_numbers, style_with_an_odd_key,
    style_truncated, style_bloated, style_settings, style_without_json, style_as_a_pickle,
    style_that_claims_to_be_large, style_with_odd_notes, style_without_settings,
]  # fmt: skip


def control_settings(rng: random.Random, folder: Path, canary: Path) -> None:
    names = ["block_out_channels", "_class_name", "conditioning_embedding_out_channels"]
    file = folder / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | {rng.choice(names): rng.choice(WRONG)}))


def control_weights(rng: random.Random, folder: Path, canary: Path) -> None:
    file = folder / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    key = rng.choice(sorted(weights))
    if rng.random() < 0.5:
        del weights[key]
    else:
        weights[key] = torch.zeros(3, 1)
    save_file(weights, file)


CONTROL_MUTATIONS: list[Mutation] = [control_settings, control_weights]
