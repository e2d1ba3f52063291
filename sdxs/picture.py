"""From the decoder's numbers to a picture, and from a picture to the bytes of a file.

The one encoder of the package: page, command line and bench all use it. Knows nothing of models,
requests or pages, and needs no torch to encode or to read one.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sdxs.errors import InputError, SDXSError, one_line

if TYPE_CHECKING:
    from torch import Tensor

MIME = {"jpeg": "image/jpeg", "webp": "image/webp", "png": "image/png"}
SUFFIXES = {".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp", ".png": "png"}


def to_pictures(images: "Tensor") -> list[Image.Image]:
    """Images (B, 3, H, W), nominally [-1, 1], to B RGB pictures; what lies outside is clamped.

    The rounding is diffusers' (VaeImageProcessor). Raises SDXSError when a number is not finite.
    """
    if not bool(images.isfinite().all()):
        raise SDXSError(
            "the model gave numbers that are not finite: its weights do not suit this dtype, "
            'try dtype="float32"'
        )
    unit = images.detach().float().mul(0.5).add(0.5).clamp(0, 1)  # (B, 3, H, W) in [0, 1]
    bytes_ = unit.mul(255).round().byte().permute(0, 2, 3, 1)  # (B, H, W, 3) in 0..255
    return [Image.fromarray(row) for row in bytes_.cpu().numpy()]


def read_picture(file: Path) -> Image.Image:
    """A picture from a PNG, JPEG or WebP file. Raises InputError."""
    try:
        with Image.open(file, formats=[format.upper() for format in MIME]) as picture:
            picture.load()
            return picture
    except FileNotFoundError:
        raise InputError(f"there is no file {file}") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{file} cannot be read as a picture ({one_line(error)})") from None


def encode(
    picture: Image.Image,
    format: str = "jpeg",
    *,
    quality: int = 90,
    info: Mapping[str, Any] | None = None,
) -> bytes:
    """A picture as the bytes of a "jpeg", "webp" or "png" file.

    JPEG is the default: 10 to 50 times faster than PNG, and full colour resolution keeps saturated
    edges clean. `quality` (1 to 95) is for JPEG and WebP. `info` (prompt, seed, checkpoint, ...)
    goes into a PNG's text; the other formats leave it out. Raises InputError for another format.
    """
    if format not in MIME:
        raise InputError(f"pictures are written as {', '.join(MIME)}, not as {format!r}")
    file = io.BytesIO()
    if format == "png":
        picture.save(file, "PNG", compress_level=6, pnginfo=_labels(info or {}))
    elif format == "webp":
        picture.save(file, "WEBP", quality=quality, method=2)
    else:
        picture.convert("RGB").save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()


def _labels(info: Mapping[str, Any]) -> PngInfo:
    labels = PngInfo()
    for name, value in info.items():
        text = str(value).replace("\0", "")  # a NUL would end the text
        labels.add_itxt(name, text.encode("utf-8", "replace").decode("utf-8"))
    return labels
