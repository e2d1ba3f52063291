"""What a picture's file says of how it was made: of ours, and of other programs' files.

The file may be a stranger's: it is opened as any picture is, its texts have limits, and whatever is
broken in them counts as nothing. Knows nothing of what becomes of it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from sdxs.errors import InputError
from sdxs.metadata.marker import EXIF_IFD, USER_COMMENT, XMP
from sdxs.metadata.parameters import Parameters, parsed
from sdxs.metadata.xmp import drawing_of
from sdxs.picture import LARGEST_AREA, read_info

LONGEST_TEXT = 100_000  # characters
CODES = {b"UNICODE\0": ("utf-16-be", "utf-16-le"), b"ASCII\0\0\0": ("utf-8",), bytes(8): ("utf-8",)}


@dataclass(frozen=True)
class Found:
    """What a file says. drawing: the PNG of what its picture follows, or nothing."""

    parameters: Parameters
    drawing: bytes = b""


def read(file: Path | bytes, name: str, largest: int = LARGEST_AREA) -> Found | None:
    """What a PNG, JPEG or WebP file says; None where it says nothing. Raises InputError, which
    calls it by its name, for what is no picture, or one of more pixels than `largest`."""
    info = read_info(file, name, largest)
    texts = (info.get("parameters"), _comment(info.get("exif")))
    for text in texts:
        if not isinstance(text, str):
            continue
        if len(text) > LONGEST_TEXT:
            raise InputError(f"{name} says more of how it was made than {LONGEST_TEXT:,} letters")
        if said := parsed(text):
            return Found(said, drawing_of(_text(info.get("xmp") or info.get(XMP))))
    return None


def _comment(exif: Any) -> str:
    """The UserComment of an EXIF, whatever that may be."""
    if not isinstance(exif, bytes):
        return ""
    try:
        read = Image.Exif()
        read.load(exif)
        comment = read.get_ifd(EXIF_IFD).get(USER_COMMENT)
    except Exception:  # foreign data: its reader raises anything
        return ""
    if not isinstance(comment, bytes):
        return comment if isinstance(comment, str) else ""
    said = [comment[8:].decode(code, "replace") for code in CODES.get(comment[:8], ("utf-8",))]
    return next((text for text in said if "Steps:" in text), "")  # some take the other byte order


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
