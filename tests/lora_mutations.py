"""What goes wrong with LoRA files of all programs, each at random, as `mutations` has it.

The file is `pytorch_lora_weights.safetensors`, without settings beside it; or a folder holds PEFT
folders for a U-Net and a text encoder.
"""

import json
import random
from pathlib import Path
from typing import Any

import torch
from edits import config, weights
from mutations import (
    NAMED,
    SETTINGS,
    STYLE,
    Canary,
    Mutation,
    a_pickle,
    bloated,
    overlapping,
    truncated,
    wrong_header,
)
from safetensors.torch import load_file, save_file

LAYERS = [
    "lora_unet_conv_in",
    "diffusion_model.input_blocks.0.0",
    "unet.conv_in",
    "lycoris_conv_in",
]
OTHER_KINDS = [
    "dora_scale", "hada_w1_a", "hada_t2", "lokr_w1", "lokr_w2_b", "a1.weight", "oft_blocks",
    "oft_diag", "rescale", "on_input", "ia3_l", "vera_lambda_b", "diff", "diff_b", "w_norm",
    "set_weight", "lora_B.bias", "lora_embedding_A", "lora_magnitude_vector.weight", "scalar",
    "reshape_weight", "lora_A.weight.bias", "weight", "bias", "",
]  # fmt: skip
FOREIGN = [
    "lora_te3_", "transformer.", "lora_transformer_", "lora_unet_double_blocks_", "text_encoder_3.",
    "lora_prior_unet_", "model.", "clip_g.", "lora_te2_", "unet.unet.", "module.", "../", "\x1b[2J",
]  # fmt: skip
ENDS = (".lora_A.weight", ".lora_down.weight", ".lora.up.weight", ".alpha", ".lora_mid.weight")
TUCKER: list[tuple[int, ...]] = [(), (0,), (4,), (4, 4), (4, 4, 5, 5), (5, 4, 3, 3), (4, 4, 3, 0)]


def matrix(rng: random.Random, tensors: dict[str, torch.Tensor]) -> str:
    return rng.choice([key for key in sorted(tensors) if not key.endswith(".alpha")])


def a_key_gone(rng: random.Random, folder: Path, canary: Path) -> None:
    with weights(folder / NAMED) as tensors:
        del tensors[rng.choice(sorted(tensors))]


def another_shape(rng: random.Random, folder: Path, canary: Path) -> None:
    with weights(folder / NAMED) as tensors:
        key = matrix(rng, tensors)
        shape = rng.choice([(), (0,), (4,), (3, 5), (1, 1, 1, 1), (2, *tensors[key].shape)])
        tensors[key] = torch.zeros(shape)


def turned(rng: random.Random, folder: Path, canary: Path) -> None:
    """down and up, one for the other."""
    with weights(folder / NAMED) as tensors:
        stem = matrix(rng, tensors)
        for one, two in (("lora_A", "lora_B"), ("lora_down", "lora_up"), ("lora.down", "lora.up")):
            other = stem.replace(one, two) if one in stem else stem.replace(two, one)
            if other != stem:
                tensors[stem], tensors[other] = tensors[other], tensors[stem]


def odd_numbers(rng: random.Random, folder: Path, canary: Path) -> None:
    with weights(folder / NAMED) as tensors:
        key = matrix(rng, tensors)
        whole = tensors[key]
        odd = [whole * torch.nan, whole / 0, whole.to(torch.complex64), whole.int(), whole > 0]
        odd += [whole.to(torch.float8_e4m3fn), whole * 1e30]
        tensors[key] = rng.choice(odd).contiguous()


def odd_alpha(rng: random.Random, folder: Path, canary: Path) -> None:
    with weights(folder / NAMED) as tensors:
        key = matrix(rng, tensors)
        name = next(key.removesuffix(f".{end}") for end in (*MATRICES, key) if end in key)
        odd = [torch.nan, torch.inf, -torch.inf, 1e38, [1.0, 2.0], [], [[1.0], [2.0]], 1j]
        tensors[f"{name}.alpha"] = torch.tensor(rng.choice(odd))


MATRICES = [
    f"{lora}.weight"
    for lora in ("lora_A", "lora_B", "lora_down", "lora_up", "lora.down", "lora.up")
]


def another_kind(rng: random.Random, folder: Path, canary: Path) -> None:
    with weights(folder / NAMED) as tensors:
        name = f"{rng.choice(LAYERS)}.{rng.choice(OTHER_KINDS)}"
        tensors[name] = torch.zeros(rng.choice([(), (4,), (4, 4), (4, 4, 3, 3)]))


def an_embedding(rng: random.Random, folder: Path, canary: Path) -> None:
    tensors = load_file(folder / NAMED)
    (folder / NAMED).unlink()
    alone = rng.choice([{}, tensors])
    keys = rng.choice([["bundle_emb.cat.clip_l"], ["<cat>"], ["emb_params"], ["clip_l", "clip_g"]])
    save_file({**alone, **{key: torch.zeros(2, 32) for key in keys}}, folder / NAMED)


def foreign(rng: random.Random, folder: Path, canary: Path) -> None:
    with weights(folder / NAMED) as tensors:
        key = matrix(rng, tensors)
        tensors[rng.choice(FOREIGN) + key] = tensors.pop(key)


def odd_keys(rng: random.Random, folder: Path, canary: Path) -> None:
    with weights(folder / NAMED) as tensors:
        name = rng.choice(["__class__", "x" * 5000, "a." * 3000, "\n\r\x00", "lora_unet_", "ünet."])
        for number in range(rng.choice([1, 3000])):
            tensors[f"{name}{number}{rng.choice(ENDS)}"] = torch.zeros(4, 4)


def twice(rng: random.Random, folder: Path, canary: Path) -> None:
    """A layer under the names of two programs."""
    with weights(folder / NAMED) as tensors:
        for name in LAYERS:
            for end in (*ENDS, *(f".{end}" for end in MATRICES)):
                tensors[name + end] = torch.zeros(4, 4)


def a_tucker_core(rng: random.Random, folder: Path, canary: Path) -> None:
    """That fits nothing, or lies in a layer that has none."""
    with weights(folder / NAMED) as tensors:
        key = matrix(rng, tensors)
        for end in MATRICES:
            key = key.removesuffix(f".{end}")
        tensors[f"{key}.lora_mid.weight"] = torch.zeros(rng.choice(TUCKER))


def a_checkpoint(rng: random.Random, folder: Path, canary: Path) -> None:
    keys = ["model.diffusion_model.input_blocks.0.0", "conv_in", "cond_stage_model.transformer.x"]
    (folder / NAMED).unlink()
    save_file({f"{rng.choice(keys)}.weight": torch.zeros(16, 4, 3, 3)}, folder / NAMED)


def odd_notes(rng: random.Random, folder: Path, canary: Path) -> None:
    wrong: list[Any] = [
        {"lora_alpha": 8, "alpha_pattern": {"(a|a)*b": 1}}, {"lora_alpha": 8, "use_dora": True},
        {"lora_alpha": 8, "r": 9}, {"lora_alpha": 8, "rank_pattern": {"conv_in": 7}}, {"r": 4},
        {"lora_alpha": 8, "init_lora_weights": "lora_ga"}, {"lora_alpha": [8]},
        {"lora_alpha": 8, "init_lora_weights": {"a": []}}, {"lora_alpha": 8, "rank_pattern": 4},
        {"lora_alpha": 8, "target_parameters": ["x"]}, {"lora_alpha": 10**400},
    ]  # fmt: skip
    notes = {f"unet.{name}": value for name, value in rng.choice(wrong).items()}
    tensors = load_file(folder / NAMED)
    (folder / NAMED).unlink()
    save_file(tensors, folder / NAMED, metadata={"lora_adapter_metadata": json.dumps(notes)})


def part_of(rng: random.Random, folder: Path) -> Path:
    return folder / rng.choice(["unet", "text_encoder"])


def parts_settings(rng: random.Random, folder: Path, canary: Path) -> None:
    wrong: list[tuple[str, Any]] = [
        ("lora_alpha", None), ("use_dora", True), ("peft_type", "LOKR"), ("bias", "lora_only"),
        ("alpha_pattern", {".*": 1}), ("r", 3), ("init_lora_weights", "corda"), ("lora_alpha", "8"),
        ("alora_invocation_tokens", [1]), ("rank_pattern", {"": "x"}), ("layer_replication", [[0]]),
    ]  # fmt: skip
    with config(part_of(rng, folder) / SETTINGS) as settings:
        settings.update([rng.choice(wrong)])


def parts_without_settings(rng: random.Random, folder: Path, canary: Path) -> None:
    file = part_of(rng, folder) / SETTINGS
    file.unlink()
    if rng.random() < 0.5:
        file.write_text(rng.choice(["", "[]", "{", "[" * 100_000]))


def parts_in_the_wrong_place(rng: random.Random, folder: Path, canary: Path) -> None:
    part = part_of(rng, folder)
    other = "text_encoder" if part.name == "unet" else "unet"
    (part / STYLE).replace(folder / rng.choice([other, "unet"]) / STYLE)
    if not (folder / other / STYLE).exists() or (part / STYLE).exists():
        (folder / "text_encoder").rename(folder / "text_encoder_2")


def parts_as_pickles(rng: random.Random, folder: Path, canary: Path) -> None:
    part = part_of(rng, folder)
    (part / STYLE).unlink()
    torch.save({"x": Canary(canary)}, part / "adapter_model.bin")


def parts_spoilt(rng: random.Random, folder: Path, canary: Path) -> None:
    file = part_of(rng, folder) / STYLE
    with weights(file) as tensors:
        key = matrix(rng, tensors)
        odd = [tensors[key] * torch.nan, tensors[key][..., None], tensors[key].int(), None]
        if (tensor := rng.choice(odd)) is None:
            del tensors[key]
        else:
            tensors[key] = tensor.contiguous()


LORA_MUTATIONS: list[Mutation] = [
    a_key_gone, another_shape, turned, odd_numbers, odd_alpha, another_kind, an_embedding, foreign,
    odd_keys, twice, a_tucker_core, a_checkpoint, odd_notes, truncated, bloated, overlapping,
    wrong_header, a_pickle,
]  # fmt: skip
PARTS_MUTATIONS: list[Mutation] = [
    parts_settings, parts_without_settings, parts_in_the_wrong_place, parts_as_pickles,
    parts_spoilt,
]  # fmt: skip
