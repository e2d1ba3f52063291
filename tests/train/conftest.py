"""What several tests of the stages begin with."""

from pathlib import Path

import pytest
import torch

from sdxs.train import text
from sdxs.train.autoencoder import build


@pytest.fixture(scope="session")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy autoencoder and text encoder."""
    folder = tmp_path_factory.mktemp("given")
    torch.manual_seed(0)
    build(12).save_pretrained(folder / "v/vae")
    text.train(text.Options(run=folder / "x", preset="toy", steps=1, batch=2))
    return folder
