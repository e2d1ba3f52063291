"""From the decoder's numbers to a picture, and from a picture to the bytes of a file.

The one encoder of the package: page, command line and bench all use it. Knows nothing of models,
requests or pages, and needs no torch to encode or to read one.
"""

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from sdxs.errors import InputError, NotFiniteError, one_line, option

if TYPE_CHECKING:
    from torch import Tensor

Size = tuple[int, int]  # width, height in pixels

MIME = {"jpeg": "image/jpeg", "webp": "image/webp", "png": "image/png"}
TYPES = MIME | {"mp4": "video/mp4"}  # with those of films
FORMATS = [name.upper() for name in MIME]  # and MPO, which is how telephones save a JPEG
LARGEST_FILE = 50_000_000  # bytes
LARGEST_AREA = 64_000_000  # pixels; in memory 4 bytes each
LARGEST_KEPT = 2048  # pixels of a side down to which a larger picture may be made smaller
SMALLEST = 8  # pixels of a side
LONGEST = 64  # times as long as wide
SUFFIXES = {".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp", ".png": "png"}


def check_finite(numbers: "Tensor", dtype: object, network: str = "the model") -> "Tensor":
    """The same numbers, of a network that computed in a dtype. Raises NotFiniteError."""
    if bool(numbers.isfinite().all()):
        return numbers
    name = str(dtype).removeprefix("torch.")
    reason = f"its weights do not suit that dtype: try {option('dtype', 'float32')}"
    if name == "float32":
        reason = "it is the weights that hold numbers that are not finite: fetch or save them anew"
    raise NotFiniteError(f"{network} gives numbers that are not finite in {name}: {reason}")


def to_pixels(images: "Tensor") -> "Tensor":
    """Images (B, 3, H, W), nominally [-1, 1], to pixels (B, H, W, 3), uint8; what lies outside is
    clamped. The rounding is diffusers' (VaeImageProcessor)."""
    unit = images.detach().float().mul(0.5).add(0.5).clamp(0, 1)
    return unit.mul(255).round().byte().permute(0, 2, 3, 1)


def from_pixels(pixels: "Tensor") -> "Tensor":
    """Images (B, 3, H, W), float32 in [-1, 1], which `to_pixels` makes these pixels of."""
    return pixels.permute(0, 3, 1, 2).float().div(127.5).sub(1)


def pictures_of(pixels: "Tensor") -> list[Image.Image]:
    """Pixels (B, H, W, 3), uint8, as B RGB pictures."""
    return [Image.fromarray(row) for row in pixels.cpu().numpy()]


def to_pictures(images: "Tensor") -> list[Image.Image]:
    """Images (B, 3, H, W), nominally [-1, 1], to B RGB pictures, see `to_pixels`. Raises
    NotFiniteError."""
    return pictures_of(to_pixels(check_finite(images, images.dtype)))


def read_picture(source: Path | bytes, *, largest: int = LARGEST_AREA) -> Image.Image:
    """A picture from a PNG, JPEG or WebP file, or from its bytes, turned the way it was taken.

    Of any mode; see `to_rgb`. No other format is opened, and nothing is decoded before its size is
    known. Raises InputError for what is no such picture, is damaged, animated, or has more than
    `largest` pixels.
    """
    name = "the picture" if isinstance(source, bytes) else str(source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata, and of sizes that are checked here
        with _opened(source, name, largest) as picture:
            _check(name, picture, largest)
            picture.draft("RGB", (LARGEST_KEPT, LARGEST_KEPT))  # decodes a large JPEG smaller
            picture.load()
            return _upright(smaller(picture, LARGEST_KEPT))


def read_info(file: Path | bytes, name: str, largest: int = LARGEST_AREA) -> dict[Any, Any]:
    """What a PNG, JPEG or WebP file says beside its pixels, as Pillow finds it; an animated one,
    too. Raises InputError as `read_picture` does, and lets Pillow warn: what silences warnings is
    for one thread alone."""
    with _opened(file, name, largest) as picture:
        _check_size(name, picture, largest)
        if picture.format == "PNG" and "parameters" not in picture.info:
            picture.load()  # it may stand behind the pixels
        return dict(picture.info)


@contextmanager
def _opened(source: Path | bytes, name: str, largest: int) -> Iterator[ImageFile]:
    """A picture's file, nothing of it decoded; whatever is wrong with it is an InputError."""
    try:
        if not isinstance(source, bytes):
            with open(source, "rb") as file:
                source = file.read(LARGEST_FILE + 1)
        if len(source) > LARGEST_FILE:
            raise InputError(f"{name} has more than {LARGEST_FILE / 1e6:.0f} MB: save it smaller")
        with Image.open(io.BytesIO(source), formats=FORMATS) as picture:
            yield picture
    except FileNotFoundError:
        raise InputError(f"there is no file {name}") from None
    except (Image.DecompressionBombError, MemoryError):
        raise InputError(_too_large(name, largest)) from None
    except UnidentifiedImageError:
        raise InputError(f"{name} is not a PNG, JPEG or WebP picture") from None
    except InputError:
        raise
    except Exception as error:  # a damaged file makes its decoder raise anything
        raise InputError(_unreadable(name, error)) from None


def taken(picture: Image.Image) -> Image.Image:
    """A Pillow picture, decoded, and turned the way it was taken.

    Nothing is decoded before its size is known. Raises InputError for one that is damaged,
    animated or far too large.
    """
    name = getattr(picture, "filename", "") or "the picture"
    _check(name, picture)
    try:
        picture.load()
    except Exception as error:  # a damaged file makes its decoder raise anything
        raise InputError(_unreadable(name, error)) from None
    return _upright(picture.convert("LA") if picture.mode == "La" else picture)


def followable(picture: Image.Image) -> Image.Image:
    """A picture that can be followed, decoded and upright. Raises InputError."""
    if not isinstance(picture, Image.Image):
        raise InputError(f"a control follows a Pillow picture, not {type(picture).__name__}")
    wide, high = picture.size
    if min(wide, high) < SMALLEST or max(wide, high) > LONGEST * min(wide, high):
        raise InputError(
            f"a picture of {wide} x {high} pixels is too small or too narrow to follow: a side has "
            f"{SMALLEST} pixels at least, and at most {LONGEST} times the other one's"
        )
    return taken(picture)


def is_blank(picture: Image.Image) -> bool:
    """Whether all pixels of a picture are the same, transparent ones too."""
    pixels = np.asarray(picture)
    return bool((pixels == pixels[:1, :1]).all())


def smaller(picture: Image.Image, side: int) -> Image.Image:
    """A picture averaged down by a whole number; its longer side stays at `side` or above it."""
    factor = max(picture.size) // side
    if factor < 2 or min(picture.size) < 2 * factor:
        return picture
    if picture.mode in ("1", "P", "PA"):  # what cannot be averaged as it is
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    elif picture.mode.startswith("I;16"):
        picture = picture.convert("I")
    return picture.reduce(factor)


def _check_size(name: str, picture: Image.Image, largest: int) -> None:
    if picture.width * picture.height > largest:
        raise InputError(_too_large(name, largest, picture.size))


def _check(name: str, picture: Image.Image, largest: int = LARGEST_AREA) -> None:
    _check_size(name, picture, largest)
    if getattr(picture, "is_animated", False) and picture.format != "MPO":
        raise InputError(f"{name} is animated: save the one picture of it that you want")


def _too_large(name: str, largest: int, size: tuple[int, int] | None = None) -> str:
    pixels = f" ({size[0]} x {size[1]} pixels)" if size else ""
    return (
        f"{name} is too large{pixels}: at most {largest // 10**6} megapixels are read, make it "
        "smaller"
    )


def _unreadable(name: str, error: Exception) -> str:
    return f"{name} cannot be read as a picture ({one_line(error)})"


def _upright(picture: Image.Image) -> Image.Image:
    """As its EXIF orientation says; a picture with a damaged EXIF stays as it is."""
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # EXIF is foreign data, too
        return picture.copy()


def to_rgb(picture: Image.Image, ground: str = "white") -> Image.Image:
    """A picture of any mode as RGB: what is transparent shows `ground`, 16 bits become 8."""
    if picture.mode.startswith("I") or picture.mode == "F":
        numbers = np.nan_to_num(np.asarray(picture, dtype=np.float32))
        most = 1.0 if picture.mode == "F" and numbers.max() <= 1 else 255.0
        most = 65535.0 if numbers.max() > 255 else most
        eight = (255 * (numbers / most).clip(0, 1)).astype(np.uint8)
        return Image.fromarray(eight).convert("RGB")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        paper = Image.new("RGBA", picture.size, ground)
        return Image.alpha_composite(paper, picture).convert("RGB")
    return picture.convert("RGB")


def to_picture(page: NDArray[np.float32]) -> Image.Image:
    """(H, W) in [0, 1] to an RGB picture."""
    return Image.fromarray((255 * page).round().astype(np.uint8)).convert("RGB")


def unit(picture: Image.Image) -> NDArray[np.float32]:
    """An RGB picture as numbers (H, W, 3) in [0, 1]."""
    numbers: NDArray[np.float32] = np.array(picture, dtype=np.float32)
    numbers /= 255
    return numbers


def control_pixels(picture: Any, size: Size) -> NDArray[np.float32]:
    """A control image as numbers (H, W, 3) in [0, 1], of (width, height).

    A picture of another size is stretched to it. Raises InputError for what is no Pillow picture,
    or for a damaged, animated or far too large one.
    """
    if not isinstance(picture, Image.Image):
        raise InputError(f"control_image must be a Pillow picture, not {type(picture).__name__}")
    picture = to_rgb(smaller(taken(picture), 4 * max(size)), "black")
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    return unit(picture)


def encode(
    picture: Image.Image,
    format: str = "jpeg",
    *,
    quality: int = 90,
    extra: Mapping[str, Any] | None = None,
) -> bytes:
    """A picture as the bytes of a "jpeg", "webp" or "png" file.

    JPEG is the default: 10 to 50 times faster than PNG, and full colour resolution keeps saturated
    edges clean. `quality` (1 to 95) is for JPEG and WebP. `extra` is what Pillow's `save` is told
    beside that: what the file says, see `sdxs.metadata`. Raises InputError for another format.
    """
    if format not in MIME:
        raise InputError(f"pictures are written as {', '.join(MIME)}, not as {format!r}")
    file, extra = io.BytesIO(), extra or {}
    if format == "png":
        picture.save(file, "PNG", compress_level=6, **extra)
    elif format == "webp":
        picture.save(file, "WEBP", quality=quality, method=2, **extra)
    else:
        picture.convert("RGB").save(file, "JPEG", quality=quality, subsampling=0, **extra)
    return file.getvalue()
