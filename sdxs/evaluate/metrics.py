"""FID (arXiv 1706.08500) and CLIP score (arXiv 2104.08718) of pictures in files.

FID is torchmetrics', on torch-fidelity's conversion of the original Inception and with that one's
own resizing; real pictures are cropped to the middle and scaled to the size of the painted ones.
CLIP score is 100 x the cosine between a picture's and its prompt's embedding, 0 where that is
negative, averaged, by a CLIP of transformers'. Knows nothing of who painted.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from tqdm import tqdm

from sdxs.checkpoint.hub import repository
from sdxs.errors import InputError, one_line

EXTRA = "pip install -e '.[evaluate]'"
KINDS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
CLIP_VIT_G = "laion/CLIP-ViT-g-14-laion2B-s12B-b42K"
AT_ONCE = 16


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder and of those below it, in order. Raises InputError."""
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}: FID takes real pictures from one")
    found = sorted(file for file in folder.rglob("*") if file.suffix.lower() in KINDS)
    if len(found) < 2:
        raise InputError(f"{folder} holds {len(found)} pictures: FID takes two or more real ones")
    return found


class FID:
    """The Frechet distance of painted pictures from those of a folder.

    features: a network from (B, 3, H, W), uint8, to (B, D), in place of Inception; inception: a
    file of its weights, which are fetched where none is given. Raises InputError.
    """

    def __init__(
        self,
        real: Sequence[Path],
        device: torch.device,
        inception: Path | None = None,
        features: nn.Module | None = None,
    ) -> None:
        self._real, self._device = real, device
        self._size: tuple[int, int] | None = None  # of the pictures whose features are kept
        try:
            from torchmetrics.image.fid import FrechetInceptionDistance

            weights = str(inception) if inception else None
            self._metric: Any = FrechetInceptionDistance(
                2048 if features is None else features, antialias=False,
                feature_extractor_weights_path=weights,
            ).to(device)  # fmt: skip
        except ImportError:  # torchmetrics' own where torch-fidelity is missing is one, too
            raise InputError(f"torchmetrics and torch-fidelity are not there: {EXTRA}") from None
        except Exception as error:  # the network's, the file's
            raise InputError(
                f"Inception's weights cannot be had ({one_line(error)}): connect and try again, or "
                "give weights-inception-2015-12-05-6726825d.pth of torch-fidelity's release v0.2.0 "
                "by --inception"
            ) from None

    def __call__(self, painted: Sequence[Path]) -> float:
        """painted: two or more, of one size."""
        size = opened(painted[0]).size
        if size != self._size:
            self._metric.reset_real_features = True
            self._metric.reset()
            self._metric.reset_real_features = False
            self._size = size
            self._see(self._real, size, real=True)
        self._metric.reset()
        self._see(painted, size, real=False)
        return float(self._metric.compute())

    @torch.no_grad()
    def _see(self, files: Sequence[Path], size: tuple[int, int], *, real: bool) -> None:
        for some in chunks(files, "real pictures" if real else "painted pictures"):
            pictures = [ImageOps.fit(opened(file), size, Image.Resampling.LANCZOS) for file in some]
            self._metric.update(tensor(pictures).to(self._device), real=real)


class CLIPScore:
    """By a CLIP of transformers': a Hub id or a folder. Raises InputError."""

    def __init__(self, name: str, device: torch.device) -> None:
        from transformers import AutoTokenizer, CLIPModel
        from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

        try:
            if not Path(name).is_dir():  # so that it is known at once whether the Hub can be had
                repository(name, name, None, ("config.json", "preprocessor_config.json"))
            self._network = CLIPModel.from_pretrained(name, dtype=torch.float32).eval().to(device)
            self._tokenizer = AutoTokenizer.from_pretrained(name)
            self._images = CLIPImageProcessorPil.from_pretrained(name)
        except Exception as error:  # the network's, the Hub's, the files'
            raise InputError(
                f"the CLIP {name} cannot be had ({one_line(error)}): connect and try again, give "
                "another Hub id or a folder by --clip, or leave the score out by --clip none"
            ) from None
        self.name = name
        self._device = device

    @torch.no_grad()
    def __call__(self, files: Sequence[Path], prompts: Sequence[str]) -> float:
        """The mean over pictures of their prompts. What is beyond the window is not read."""
        window = self._network.config.text_config.max_position_embeddings
        scores: list[Tensor] = []
        pairs = list(zip(files, prompts, strict=True))
        for some in chunks(pairs, "CLIP scores"):
            words = self._tokenizer(
                [prompt for _, prompt in some], return_tensors="pt", padding=True, truncation=True,
                max_length=window,
            ).to(self._device)  # fmt: skip
            pictures = [opened(file) for file, _ in some]
            pixels = self._images(pictures, return_tensors="pt").pixel_values.to(self._device)
            seen = self._network.get_image_features(pixel_values=pixels).pooler_output  # (B, D)
            said = self._network.get_text_features(**words).pooler_output  # (B, D)
            scores.append(100 * nn.functional.cosine_similarity(seen, said).clamp(min=0))
        return float(torch.cat(scores).mean())


def opened(file: Path) -> Image.Image:
    """RGB, as it is meant to be turned. Raises InputError."""
    try:
        return ImageOps.exif_transpose(Image.open(file)).convert("RGB")
    except OSError as error:
        raise InputError(f"{file} is no picture ({one_line(error)}): remove it") from None


def tensor(pictures: Sequence[Image.Image]) -> Tensor:
    """(B, 3, H, W), uint8."""
    return torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures])).permute(
        0, 3, 1, 2
    )


def chunks(every: Sequence[Any], title: str) -> Iterator[Sequence[Any]]:
    """A few at a time, with a bar."""
    with tqdm(total=len(every), desc=title, leave=False, disable=None) as bar:
        for first in range(0, len(every), AT_ONCE):
            yield every[first : first + AT_ONCE]
            bar.update(len(every[first : first + AT_ONCE]))
