"""From the safetensors files of a network to its numbers, exactly as stored or not at all.

A network is built without numbers and then given exactly those of its files: a key that is missing,
surplus or of another shape is an error, never a random value. Knows nothing of what the networks
are for.
"""

import os
import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sdxs.checkpoint.tensors import FLOATS, opened, read_config, read_json
from sdxs.checkpoint.variants import REFUSED, chosen
from sdxs.errors import CheckpointError, one_line

_SHARD = re.compile(r"(?!\.)[\w.-]+\.safetensors")  # beside its index, nowhere else

Take = Callable[[Tensor], Tensor]  # the part of a stored tensor that is meant, or its other shape
Names = Callable[[str], list[tuple[str, Take]]]  # of what a stored tensor is, in the network


def whole(tensor: Tensor) -> Tensor:
    return tensor


def as_named(key: str) -> list[tuple[str, Take]]:
    return [(key, whole)]


@dataclass(frozen=True)
class Weights:
    """Where the tensors of a network lie. place: what is blamed. index: tensor -> file, where one
    says so. names: what a network calls what is stored."""

    place: Path
    files: tuple[Path, ...]
    index: Mapping[str, str] | None = None
    names: Names = as_named


@dataclass(frozen=True)
class Part:
    """A network to be read: settings, the file that they are of, and weights."""

    file: Path
    config: dict[str, Any]
    weights: Weights


def part_of(folder: Path, known: Mapping[str, Any], stem: str) -> Part:
    """The network of a folder with `config.json`. Raises CheckpointError."""
    return Part(*read_config(folder, known), weights_in(folder, stem))


def weights_in(folder: Path, stem: str) -> Weights:
    """`stem.safetensors`, else its shards, else a variant. Raises CheckpointError."""
    names = sorted(path.name for path in folder.iterdir()) if os.path.isdir(folder) else []
    try:
        found = chosen(names, stem)
    except CheckpointError as error:
        raise CheckpointError(f"{folder}: {error}") from None
    if not found:
        others = [name for name in names if name.endswith(tuple(REFUSED))]
        remedy = "the checkpoint is incomplete, fetch it again"
        if others:
            remedy = f"{one_line(others[0], 60)} {REFUSED[Path(others[0]).suffix]}"
        raise CheckpointError(f"{folder / stem}.safetensors is missing: {remedy}")
    place = folder / found[0]
    return _shards(place) if place.suffix == ".json" else Weights(place, (place,))


def _shards(place: Path) -> Weights:
    """By their index, which is `place`."""
    index = read_json(place).get("weight_map")
    if not isinstance(index, dict) or not index:
        raise CheckpointError(f"{place} has no weight_map of tensors: fetch it again")
    for shard in index.values():
        if not isinstance(shard, str) or not _SHARD.fullmatch(shard):
            raise CheckpointError(
                f"{place} names {one_line(shard, 60)}, which is no safetensors file beside it"
            )
    files = tuple(place.parent / name for name in sorted(set(index.values())))
    for file in files:
        if not os.path.isfile(file):
            known = one_line(file.name, 60)
            raise CheckpointError(f"{place} names {known}, which is missing: fetch it")
    return Weights(place, files, index)


def fill(
    network: Any,
    weights: Weights,
    dtype: torch.dtype,
    today: Callable[[str], str | None] = lambda key: key,
) -> Any:
    """Give a network exactly the numbers of its files, in `dtype`.

    `today` turns a key of an older file into today's, or None for one without meaning.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    places: dict[str, tuple[Any, str, Take]] = {}  # in the network -> in a file
    with ExitStack() as stack:
        for file in weights.files:
            stored = stack.enter_context(opened(file))
            for key in _keys(stored, file, weights):
                for own, take in weights.names(key):
                    name = today(own)
                    if name is None:
                        continue
                    if name in places:
                        raise CheckpointError(f"{file}: {one_line(name, 60)} is stored twice")
                    _check(file, key, stored.get_slice(key), take, wanted.get(name))
                    places[name] = stored, key, take
        if missing := sorted(wanted.keys() - places.keys()):
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise CheckpointError(
                f"{weights.place}: {missing[0]}{more} missing: the file is incomplete, fetch it "
                "again"
            )
        found = {}  # only now are numbers read; copies, to let go of the file
        for name, (stored, key, take) in places.items():
            tensor = take(stored.get_tensor(key))
            found[name] = tensor.to(dtype, copy=True, memory_format=torch.contiguous_format)
    network.load_state_dict(found, assign=True)
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        if tensor.is_meta:
            raise CheckpointError(
                f"{weights.place}: {name} is not stored: this layout is not supported"
            )
    return network.requires_grad_(False).eval()


def _keys(stored: Any, file: Path, weights: Weights) -> list[str]:
    """Of a file; of a shard, if they are those that the index says."""
    keys = list(stored.keys())
    if weights.index is None:
        return keys
    stated = {key for key, shard in weights.index.items() if shard == file.name}
    for key in sorted(stated.symmetric_difference(keys)):
        where = weights.index.get(key)
        says = f"puts it in {where}" if where else "does not know it"
        has = "lacks" if key in stated else "holds"
        raise CheckpointError(
            f"{file} {has} {one_line(key, 60)}, and {weights.place.name} {says}: fetch both again"
        )
    return keys


def shape_of(stored: tuple[int, ...], take: Take) -> tuple[int, ...]:
    """Of what is taken of a stored tensor."""
    return stored if take is whole else tuple(take(torch.empty(stored, device="meta")).shape)


def _check(file: Path, key: str, stored: Any, take: Take, wanted: tuple[int, ...] | None) -> None:
    """Whether a stored tensor is what the network needs. Raises CheckpointError."""
    shape, kind, known = tuple(stored.get_shape()), stored.get_dtype(), one_line(key, 60)
    if wanted is None:
        raise CheckpointError(
            f"{file}: {known} is surplus ({kind}, {shape}): no tensor of the network that the "
            "config describes"
        )
    shape = shape_of(shape, take)
    if shape != wanted:
        raise CheckpointError(
            f"{file}: {known} has the shape {one_line(shape, 60)}, the config makes it {wanted}"
        )
    if kind not in FLOATS:
        raise CheckpointError(
            f"{file}: {known} is stored as {kind}, which is not supported: {', '.join(FLOATS)} are"
        )
