"""What networks make of latents on their way: the features that feature matching compares (eq. 10).

Three encoders to choose from, all frozen and all of latents, so that nothing need be decoded: the
down blocks of the multi-step U-Net itself (the paper allows it), a CNN, a ViT. The last two are
trained by `sdxs.train.encoders`; none of them is the evaluator.
"""

import functools
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sdxs.model.text import Words
from sdxs.train.parts.denoiser import added_to
from sdxs.train.parts.latents import LABELS
from sdxs.train.parts.models import LATENT_CHANNELS
from sdxs.train.run.machine import placed

Encode = Callable[[Tensor, Words], list[Tensor]]  # latents, what is said of them -> feature maps
ALMOST_CLEAN = 20  # the timestep at which a U-Net is shown latents without noise


class Tap:
    """Keeps what some modules of a network last gave."""

    def __init__(self, network: nn.Module, names: list[str]) -> None:
        self.features: dict[str, Tensor] = {}
        for name in names:
            network.get_submodule(name).register_forward_hook(functools.partial(self._keep, name))

    def _keep(self, name: str, module: nn.Module, inputs: object, output: Any) -> None:
        self.features[name] = output[0] if isinstance(output, tuple) else output


def of_unet(unet: UNet2DConditionModel, x: Tensor, t: Tensor, words: Words) -> list[Tensor]:
    """What each down block of a U-Net makes of latents (B, 4, h, w), before it halves them."""
    return _down(unet, x, t, words)[0]


def bottleneck(unet: UNet2DConditionModel, x: Tensor, t: Tensor, words: Words) -> Tensor:
    """What a U-Net makes of latents (B, 4, h, w) before it goes up again, after its middle if it
    has one."""
    _, h, embedding = _down(unet, x, t, words)
    if (middle := unet.mid_block) is None:
        return h
    heard = getattr(middle, "has_cross_attention", False)
    said = {"encoder_hidden_states": words.states} if heard else {}
    out: Tensor = middle(h, embedding, **said)
    return out


def _down(
    unet: UNet2DConditionModel, x: Tensor, t: Tensor, words: Words
) -> tuple[list[Tensor], Tensor, Tensor]:
    """What `of_unet` gives, what the last block leaves, and the embedding of t."""
    embedding = unet.time_embedding(unet.time_proj(t).to(x.dtype))
    added = unet.get_aug_embed(embedding, words.states, added_to(words, x))
    embedding = embedding if added is None else embedding + added
    h = unet.conv_in(x)
    features = []
    for block in unet.down_blocks:
        if getattr(block, "has_cross_attention", False):
            h, residuals = block(h, embedding, encoder_hidden_states=words.states)
        else:
            h, residuals = block(h, embedding)
        features.append(residuals[0])
    return features, h, embedding


class Encoder(nn.Module, ABC):
    """Latents (B, 4, h, w) to a segmentation, logits (B, sum(LABELS), h / 2, w / 2)."""

    width: int

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(self.width, sum(LABELS), 1)

    @abstractmethod
    def features(self, x: Tensor) -> list[Tensor]:
        """The feature maps, the last of them (B, width, h / 2, w / 2)."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x)[-1])


class CNN(Encoder):
    """A plain convolutional network of three stages."""

    width = 128

    def __init__(self) -> None:
        super().__init__()
        sizes = ((LATENT_CHANNELS, 64, 1), (64, 128, 2), (128, self.width, 1))
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, after, 3, stride, 1), nn.GroupNorm(8, after), nn.SiLU(),
                nn.Conv2d(after, after, 3, 1, 1), nn.GroupNorm(8, after), nn.SiLU(),
            )
            for before, after, stride in sizes
        )  # fmt: skip

    def features(self, x: Tensor) -> list[Tensor]:
        out = []
        for part in self.stages:
            x = part(x)
            out.append(x)
        return out


class ViT(Encoder):
    """A vision transformer of 2 x 2 latent cells a token (arXiv 2010.11929)."""

    width = 128

    def __init__(self, layers: int = 4, heads: int = 4, side: int = 8) -> None:
        super().__init__()
        self.patches = nn.Conv2d(LATENT_CHANNELS, self.width, 2, 2)
        self.places = nn.Parameter(0.02 * torch.randn(1, self.width, side, side))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                self.width, heads, 4 * self.width, 0.0, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )

    def features(self, x: Tensor) -> list[Tensor]:
        h = self.patches(x)
        places = nn.functional.interpolate(self.places, h.shape[2:], mode="bilinear")
        tokens = (h + places).flatten(2).transpose(1, 2)  # (B, h w / 4, D)
        out = []
        for layer in self.layers:
            tokens = layer(tokens)
            out.append(tokens.transpose(1, 2).unflatten(2, h.shape[2:]))
        return out


ENCODERS: dict[str, type[Encoder]] = {"cnn": CNN, "vit": ViT}


def save_encoder(encoder: Encoder, kind: str, folder: Path) -> None:
    """Write what `load_encoder` reads."""
    weights = {name: part.cpu().contiguous() for name, part in encoder.state_dict().items()}
    save_file(weights, folder / "encoder.safetensors")
    (folder / "config.json").write_text(json.dumps({"kind": kind}) + "\n")


def load_encoder(folder: Path) -> Encoder:
    """A trained CNN or ViT, frozen.

    Left in training mode, which changes nothing here but that torch does not fuse the ViT's layers
    where no gradient is asked for: both sides of a comparison must go the same way.
    """
    encoder = ENCODERS[json.loads((folder / "config.json").read_text())["kind"]]()
    encoder.load_state_dict(load_file(folder / "encoder.safetensors"))
    return placed(encoder.train().requires_grad_(False))


def encoder_of(encoder: Path | None, unet: UNet2DConditionModel) -> Encode:
    """The features of a trained encoder in a folder, or of the U-Net's own down blocks."""
    if encoder is not None:
        trained = load_encoder(encoder)
        return lambda x, words: trained.features(x)

    def own(x: Tensor, words: Words) -> list[Tensor]:
        t = torch.full((len(x),), ALMOST_CLEAN, device=x.device)
        return of_unet(unet, x, t, words)

    return own
