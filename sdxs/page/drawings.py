"""Pictures on their way between browser and server: data URLs, checked and read.

Knows nothing of pages, requests or models.
"""

import base64
import binascii
import re
from typing import Any

from PIL import Image

from sdxs.errors import InputError
from sdxs.picture import MIME, read_picture

LARGEST_DRAWING = 6_000_000  # bytes of its file; a canvas of noise has fewer
LARGEST_CANVAS = 16_000_000  # pixels; a visitor's camera may have taken it

TYPES = MIME | {"mp4": "video/mp4"}
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
    try:
        file = base64.b64decode(value.partition(",")[2], validate=True)
    except (binascii.Error, ValueError):
        raise InputError("the drawing arrived damaged: draw on") from None
    return read_picture(file, largest=LARGEST_CANVAS)


def data_url(file: bytes, format: str) -> str:
    """The bytes of a "jpeg", "webp", "png" or "mp4" file as a data URL."""
    return f"data:{TYPES[format]};base64,{base64.b64encode(file).decode('ascii')}"
