"""Which device, which numbers and how many threads a model uses; chosen once, in `load`."""

import logging
import platform
import warnings
from pathlib import Path
from typing import Any

import torch

from sdxs.errors import InputError, one_line, option
from sdxs.granted import threads

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
DEVICES = ("cuda", "mps", "cpu")
ABSENT = {  # why there is none of a kind
    "cuda": "this torch sees no CUDA device",
    "mps": "it is for Macs with Apple silicon",
}

log = logging.getLogger(__name__)


def choose_device(device: str | torch.device = "auto") -> torch.device:
    """A device on which this torch can compute. "auto": CUDA, then MPS, then CPU; one that is there
    and cannot be used is passed over, and said to be. Raises InputError."""
    if device == "auto":
        for place in map(torch.device, DEVICES):
            reason = _trouble(place)
            if reason is None:
                return place
            if reason:
                log.warning("%s cannot be used: %s", place, reason)
    known = 'known are "auto", "cuda", "cuda:1", "mps" and "cpu"'
    try:
        chosen = torch.device(device) if isinstance(device, str | torch.device) else None
    except RuntimeError:
        chosen = None
    if chosen is None:
        raise InputError(f"there is no device {device!r}: {known}")
    if chosen.type not in DEVICES:
        raise InputError(f"device {device!r} is not supported: {known}")
    reason = _trouble(chosen)
    if reason is not None:
        raise InputError(
            f"device {str(device)!r} cannot be used: {reason or ABSENT[chosen.type]}; "
            f"use {option('device', 'auto')}"
        )
    return chosen


def _trouble(device: torch.device) -> str | None:
    """Why this torch cannot compute on a device, None where it can: a driver or a card that is too
    old or too new shows itself as a warning, or as an error of the first sum. "": there is none."""
    if device.type == "cpu":
        return None
    kind: Any = torch.cuda if device.type == "cuda" else torch.backends.mps
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            if not kind.is_available():
                return one_line(said[0].message) if said else ""
            if device.type == "cuda" and (device.index or 0) >= kind.device_count():
                return f"this torch sees {kind.device_count()} of them"
            torch.ones(1, device=device).add(1).item()
        except Exception as error:  # torch's, of any kind
            return one_line(str(error).strip().partition("\n")[0])
    return None


def choose_dtype(dtype: str | torch.dtype, device: torch.device) -> torch.dtype:
    """A dtype, its name, or the best for the device. Raises InputError.

    "auto": float16 on CUDA and MPS; on a CPU bfloat16 where it multiplies faster than float32.
    """
    if dtype == "auto":
        if device.type != "cpu":
            return torch.float16
        return torch.bfloat16 if cpu_multiplies_bfloat16() else torch.float32
    name = str(dtype).removeprefix("torch.")
    if not isinstance(dtype, str | torch.dtype) or name not in DTYPES:
        raise InputError(f'there is no dtype {dtype!r} here: use "auto", {", ".join(DTYPES)}')
    return DTYPES[name]


def cpu_multiplies_bfloat16() -> bool:
    """Whether the processor has AMX or AVX512-BF16."""
    tests = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(test() for name in tests if (test := getattr(torch.cpu, name, None)))


def limit_threads() -> None:
    """Give torch no more threads than that: beyond a quota all of them wait, in the middle of a
    picture. Fewer stay, which a program may have chosen itself."""
    if torch.get_num_threads() > threads():
        torch.set_num_threads(threads())


def cpu_name() -> str:
    """The processor's name, as its maker puts it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
