"""Pictures on their way between browser and server: data URLs, checked and read.

Knows nothing of pages, requests or models.
"""

import base64
import binascii
import re
from typing import Any

from PIL import Image

from sdxs.errors import InputError
from sdxs.picture import TYPES, read_picture

LARGEST_DRAWING = 6_000_000  # bytes of its file; a canvas of noise has fewer
LARGEST_GIVEN = 12_000_000  # bytes of a file that is to say how it was made
LARGEST_CANVAS = 16_000_000  # pixels; a visitor's camera may have taken it

PNG = "iVBORw0KGgo"  # how one begins, in base64
DATA_URL = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)  # of any type: its bytes count


def check_drawing(name: str, value: Any) -> str:
    """A data URL; of which picture is known when it is read. Raises InputError for what is none,
    or a huge one."""
    if not isinstance(value, str) or not DATA_URL.match(value):
        raise InputError(f"the {name} is no PNG, JPEG or WebP picture")
    if len(value) > LARGEST_DRAWING * 4 // 3 + 40:
        most = LARGEST_DRAWING // 1_000_000
        raise InputError(f"the {name} has more than {most} MB: make it smaller")
    return value


def read_drawing(value: str) -> Image.Image:
    """The picture in a data URL. Raises InputError for a damaged one, or one of too many pixels."""
    return read_picture(
        _decoded(value, "the drawing arrived damaged: draw on"), largest=LARGEST_CANVAS
    )


def is_drawn(value: str) -> bool:
    """Whether a data URL is of a drawing: the canvas sends one as a PNG, and a photo as a JPEG."""
    return value.partition(",")[2].startswith(PNG)


def bytes_of(value: Any, name: str) -> bytes:
    """A picture's file that a visitor gives, of its data URL. Raises InputError."""
    if not isinstance(value, str) or not DATA_URL.match(value):
        raise InputError(f"{name} is not a PNG, JPEG or WebP picture")
    if len(value) > LARGEST_GIVEN * 4 // 3 + 40:
        raise InputError(f"{name} has more than {LARGEST_GIVEN // 1_000_000} MB: save it smaller")
    return _decoded(value, f"{name} arrived damaged: try again")


def _decoded(value: str, damaged: str) -> bytes:
    try:
        return base64.b64decode(value.partition(",")[2], validate=True)
    except (binascii.Error, ValueError):
        raise InputError(damaged) from None


def data_url(file: bytes, format: str) -> str:
    """The bytes of a "jpeg", "webp", "png" or "mp4" file as a data URL."""
    return f"data:{TYPES[format]};base64,{base64.b64encode(file).decode('ascii')}"
