"""Which device and which numbers a model uses, chosen once, when it is loaded."""

import math
import os
import platform
from pathlib import Path

import torch

from sdxs.errors import InputError

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
DEVICES = ("cuda", "mps", "cpu")


def choose_device(device: str | torch.device = "auto") -> torch.device:
    """A device that is there. "auto": CUDA, then MPS, then CPU. Raises InputError."""
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    known = 'known are "auto", "cuda", "cuda:1", "mps" and "cpu"'
    try:
        chosen = torch.device(device) if isinstance(device, str | torch.device) else None
    except RuntimeError:
        chosen = None
    if chosen is None:
        raise InputError(f"there is no device {device!r}: {known}")
    if chosen.type not in DEVICES:
        raise InputError(f"device {device!r} is not supported: {known}")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"device {str(device)!r} is not there: this machine shows torch "
            f'{torch.cuda.device_count()} CUDA devices; use "auto"'
        )
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise InputError('device "mps" is not there: it is for Macs with Apple silicon; use "auto"')
    return chosen


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


def granted_cores(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """How many cores this process may really use: its affinity, and its share by cgroup quota."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    for file in ("cpu.max", "cpu/cpu.cfs_quota_us"):
        try:
            quota, *period = (groups / file).read_text(encoding="ascii").split()
            if not period:
                period = [(groups / "cpu/cpu.cfs_period_us").read_text(encoding="ascii")]
            if float(quota) > 0:
                cores = min(cores, max(1, math.ceil(float(quota) / float(period[0]))))
        except (OSError, ValueError):  # no quota, which is "max" or -1, or no cgroups
            continue
    return cores


def cpu_name() -> str:
    """The processor's name, as its maker puts it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
