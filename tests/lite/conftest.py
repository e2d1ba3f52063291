"""A folder of a few sums, and the light model on it."""

from pathlib import Path

import pytest

from sdxs.lite.model import SDXS
from tests.lite.made import make


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the embedded model would lie."""
    return make(tmp_path_factory.mktemp("weights") / "onnx" / "storybook")


@pytest.fixture(scope="session")
def light(folder: Path) -> SDXS:
    return SDXS.load(folder, styles="all", controls="all", engine="lite")
