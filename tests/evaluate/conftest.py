"""Small judges and real pictures."""

from pathlib import Path

import pytest
import torch
from tiny import noisy_images, tiny_tokenizer
from torch import Tensor, nn

from sdxs.picture import to_pictures


class Features(nn.Module):
    """Seeded, from (B, 3, H, W), uint8, to (B, 6), in place of Inception."""

    num_features = 6

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layer = nn.Conv2d(3, self.num_features, 8, stride=8)

    def forward(self, pictures: Tensor) -> Tensor:
        assert pictures.dtype == torch.uint8
        return 20 * (4 * self.layer(pictures / 255)).sin().mean((2, 3))


@pytest.fixture
def features() -> nn.Module:
    return Features()


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve pictures of 64 pixels."""
    folder = tmp_path_factory.mktemp("real")
    for i, picture in enumerate(to_pictures(noisy_images(12, seed=1))):
        picture.save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a seeded CLIP, as transformers writes one."""
    from transformers import CLIPConfig, CLIPModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    folder, tokenizer = tmp_path_factory.mktemp("clip"), tiny_tokenizer()
    layers = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    special = {
        f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos")
    }
    text = {**layers, **special, "hidden_size": 16, "max_position_embeddings": 16,
            "vocab_size": len(tokenizer)}  # fmt: skip
    vision = {**layers, "hidden_size": 16, "image_size": 32, "patch_size": 16}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
        for parameter in network.parameters():
            parameter.data.normal_(std=0.3)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    CLIPImageProcessorPil(**size).save_pretrained(folder)
    return folder
