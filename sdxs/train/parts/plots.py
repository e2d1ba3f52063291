"""Plots of numbers, as PNG files. They need matplotlib (`pip install -e '.[train]'`)."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

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


def points(clouds: Mapping[str, Tensor], output: Path, shown: int = 3000) -> None:
    """Clouds of points (N, 2) side by side."""
    plt = plots()
    figure, axes = plt.subplots(
        1, len(clouds), figsize=(3 * len(clouds), 3.2), squeeze=False, layout="constrained"
    )
    for axis, (name, cloud) in zip(axes[0], clouds.items(), strict=True):
        axis.scatter(*cloud[:shown].T.tolist(), s=1, alpha=0.4)
        axis.set(title=name, xlim=(-2.2, 2.2), ylim=(-2.2, 2.2), aspect="equal")
        axis.tick_params(labelsize=7)
    figure.savefig(output, dpi=110)
    plt.close(figure)


def png(text: str) -> Path:
    """An argparse type: where a figure can go."""
    path = Path(text)
    if path.suffix.lower() != ".png":
        raise argparse.ArgumentTypeError(f"{text} does not end in .png")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path.parent}")
    return path
