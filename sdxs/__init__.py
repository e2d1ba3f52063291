"""SDXS: one-step text-to-picture models. The public names, nothing else."""

import importlib.util
import os
from typing import TYPE_CHECKING

from sdxs.errors import CheckpointError, InputError, PromptCutWarning, SafetyWarning, SDXSError

if TYPE_CHECKING:
    from sdxs.pipeline import SDXS

__all__ = [
    "SDXS",
    "CheckpointError",
    "InputError",
    "PromptCutWarning",
    "SDXSError",
    "SafetyWarning",
]


def __getattr__(name: str) -> object:
    """Import torch and diffusers, which takes seconds, only when the model is asked for. The light
    model needs neither: it is the one where torch is not installed, or SDXS_ENGINE is "lite"."""
    if name == "SDXS":
        if os.environ.get("SDXS_ENGINE") == "lite" or importlib.util.find_spec("torch") is None:
            from sdxs.lite.model import SDXS as Light

            return Light
        from sdxs.pipeline import SDXS

        return SDXS
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
