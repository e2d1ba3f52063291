"""What all tables share: the machine and the versions beside them, Markdown, a file of JSON."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from sdxs.errors import InputError
from sdxs.granted import granted_cores
from sdxs.model.hardware import cpu_name

UNMEASURED = "not measured"


def facts(device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """The hardware, the numbers and the versions that figures depend on."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "device": str(device),
        "hardware": gpu or f"{cpu_name()}, {granted_cores()} cores",
        "threads": torch.get_num_threads(),
        "dtype": str(dtype).removeprefix("torch."),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
    }


def told(found: Mapping[str, Any]) -> str:
    """The same as a line."""
    versions = ", ".join(f"{name} {found[name]}" for name in ("torch", "diffusers", "transformers"))
    return f"{found['hardware']}, {found['dtype']}, {versions}"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is words and whose others are numbers."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def number(value: float | None, digits: int = 1) -> str:
    return UNMEASURED if value is None else f"{value:,.{digits}f}"


def save(result: Mapping[str, Any], file: Path | None) -> None:
    """Write JSON where a file was asked for. Raises InputError."""
    if file is None:
        return
    try:
        file.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{file} cannot be written ({error.strerror})") from None
