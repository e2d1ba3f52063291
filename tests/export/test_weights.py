"""Each number once, exactly, where the index of a file says."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sdxs.export.weights import Weights, is_half


def test_what_lies_where(tmp_path: Path) -> None:
    weights, chance = Weights(), torch.Generator().manual_seed(0)
    whole = torch.randn(3, 5, generator=chance).t()  # in another order than it is stored in
    half, numbers = torch.randn(7, generator=chance).half().float(), np.arange(4)
    all_of_them = [
        weights.parameter("unet", "a", whole),
        weights.parameter("unet", "b", half),
        weights.parameter("decoder-tiny", "a", torch.zeros(2)),
        weights.constant("unet", "c", numbers),
        weights.constant("unet", "c", numbers + 1),
    ]
    assert weights.parameter("elsewhere", "x", whole) is all_of_them[0]
    assert weights.constant("elsewhere", "x", numbers.copy()) is all_of_them[3]
    assert weights.constant("unet", "c", numbers.astype(np.int32)).name == "c__"

    places = weights.write(tmp_path)
    assert sorted(os.listdir(tmp_path / "weights")) == [
        "decoder-tiny.safetensors", "unet.safetensors"
    ]  # fmt: skip
    for stored, wanted in zip(
        all_of_them, (whole, half.half(), torch.zeros(2).half()), strict=False
    ):
        offset, length = places[stored]
        content = (tmp_path / stored.file).read_bytes()
        assert content[offset : offset + length] == wanted.contiguous().numpy().tobytes()
        assert offset % wanted.element_size() == 0
    found = load_file(tmp_path / "weights/unet.safetensors")
    assert torch.equal(found["a"], whole) and torch.equal(found["b"].float(), half)
    assert torch.equal(found["c_"], torch.arange(4) + 1)


@pytest.mark.skipif(os.name == "nt", reason="no permissions there")
def test_whoever_may_read_the_folder_may_read_them(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    weights = Weights()
    weights.parameter("unet", "a", torch.zeros(2))
    weights.write(tmp_path)
    assert (tmp_path / "weights/unet.safetensors").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("number", "whether"), [(0.1, False), (0.5, True), (1e9, False), (2.0**-30, False)]
)
def test_what_is_a_float16(number: float, whether: bool) -> None:
    assert is_half(torch.tensor([1.0, number])) is whether
    assert not is_half(torch.tensor([1.0, 0.5]).half())
