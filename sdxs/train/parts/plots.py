"""Plots of numbers, as PNG files. They need matplotlib (`pip install -e '.[train]'`)."""

import argparse
from pathlib import Path
from typing import Any

from sdxs.train.run.loop import TrainingError


def plots() -> Any:
    """matplotlib's pyplot, for files alone."""
    try:
        import matplotlib
    except ImportError:
        raise TrainingError("matplotlib is not there: pip install -e '.[train]'") from None
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def png(text: str) -> Path:
    """An argparse type: where a figure can go."""
    path = Path(text)
    if path.suffix.lower() != ".png":
        raise argparse.ArgumentTypeError(f"{text} does not end in .png")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path.parent}")
    return path
