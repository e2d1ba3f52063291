"""SDXS: one-step text-to-picture models. The public names, nothing else."""

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
    """Import torch and diffusers, which takes seconds, only when the model is asked for."""
    if name == "SDXS":
        from sdxs.pipeline import SDXS

        return SDXS
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
