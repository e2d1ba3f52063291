"""From the files of a checkpoint to settings and weights, exactly as stored or not at all.

A network is built without numbers and then given exactly those of its safetensors file: a key that
is missing, surplus or of another shape is an error, never a random value. Pickles are not read and
no class is looked up by a name from a file. Knows nothing of what the networks are for.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sdxs.errors import CheckpointError, one_line

LARGEST_CONFIG = 4 * 2**20  # bytes; real ones are a few thousand
FLOATS = ("F16", "BF16", "F32", "F64")


def read_json(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > LARGEST_CONFIG:
            raise CheckpointError(f"{file} is far too large for a config: not a checkpoint's")
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{file} is missing: the checkpoint is incomplete, fetch it again"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{file} cannot be read ({one_line(error)}): fetch it again"
        ) from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{file} holds no settings: fetch the checkpoint again")
    return content


def read_config(file: Path, known: dict[str, Any]) -> dict[str, Any]:
    """A config whose class is one of `known`. transformers and diffusers name it differently."""
    config = read_json(file)
    name = config.get("_class_name")
    if name is None and isinstance(config.get("architectures"), list):
        name = next(iter(config["architectures"]), None)
    if not isinstance(name, str) or name not in known:
        raise CheckpointError(
            f"{file}: the class {one_line(ValueError(name), 60)} is not supported: "
            f"{', '.join(known)} {'is' if len(known) == 1 else 'are'}"
        )
    return config


def build(make: Callable[[], Any], file: Path) -> Any:
    """A network without numbers: its parameters have a shape and no memory."""
    try:
        with torch.device("meta"):
            return make()
    except Exception as error:  # foreign settings make the libraries raise anything
        problem = f"no network can be built from it ({one_line(error)})"
        raise CheckpointError(f"{file}: {problem}") from None


def weights_file(folder: Path, stem: str) -> Path:
    """`stem.safetensors`, else its 16-bit variant."""
    for name in (f"{stem}.safetensors", f"{stem}.fp16.safetensors"):
        if os.path.isfile(folder / name):
            return folder / name
    pickles = [path.name for path in sorted(folder.glob("*.bin"))] if os.path.isdir(folder) else []
    remedy = "the checkpoint is incomplete, fetch it again"
    if pickles:
        remedy = f"{pickles[0]} is a pickle, which can run code: save it as safetensors"
    raise CheckpointError(f"{folder / stem}.safetensors is missing: {remedy}")


def fill(
    network: Any,
    file: Path,
    dtype: torch.dtype,
    today: Callable[[str], str | None] = lambda key: key,
) -> Any:
    """Give a network exactly the numbers of a file, in `dtype`.

    `today` turns a key of an older file into today's, or None for one without meaning.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found: dict[str, Tensor] = {}
    try:
        with safe_open(file, framework="pt") as stored:
            for key in stored.keys():  # noqa: SIM118, not a dict
                name = today(key)
                if name is None:
                    continue
                if name not in wanted or name in found:
                    raise CheckpointError(f"{file}: {key} is surplus: weights of another network")
                part = stored.get_slice(key)
                if tuple(part.get_shape()) != wanted[name]:
                    raise CheckpointError(
                        f"{file}: {key} has the shape {tuple(part.get_shape())}, "
                        f"config.json makes it {wanted[name]}"
                    )
                if part.get_dtype() not in FLOATS:
                    raise CheckpointError(
                        f"{file}: {key} is stored as {part.get_dtype()}, which is not supported: "
                        f"{', '.join(FLOATS)} are"
                    )
                found[name] = stored.get_tensor(key).to(dtype, copy=True)  # let go of the file
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{file} is damaged or no safetensors file ({one_line(error)}): fetch it again"
        ) from None
    if missing := sorted(wanted.keys() - found.keys()):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise CheckpointError(
            f"{file}: {missing[0]}{more} missing: the file is incomplete, fetch it again"
        )
    network.load_state_dict(found, assign=True)
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        if tensor.is_meta:
            raise CheckpointError(f"{file}: {name} is not stored: this layout is not supported")
    return network.requires_grad_(False).eval()
