"""What files of pictures say of how they were made.

Knows nothing of who asked, or of how a picture is painted.
"""

from collections.abc import Mapping
from typing import Any

from PIL import Image

from sdxs.metadata import xmp
from sdxs.metadata.marker import Label, Marker
from sdxs.service import options
from sdxs.service.about import About
from sdxs.service.drawings import is_drawn, read_drawing

LIVE = "jpeg"  # a frame among many; a file of another format is one to keep


class Labels:
    """Of one checkpoint's pictures. given: always a request that is checked, see `Maker`."""

    def __init__(self, about: About, marker: Marker | None = None) -> None:
        self.about, self.marker = about, marker or Marker()

    def of(self, given: Mapping[str, Any], drawing: bytes = b"") -> Label:
        """How a picture or a film is made."""
        said = options.said(given)
        return Label(self.filled(given), self.about.checkpoint, said, drawing)

    def file(
        self, picture: Image.Image, given: Mapping[str, Any], format: str = LIVE, drawing: str = ""
    ) -> bytes:
        """A picture file that says how it was made. drawing: the data URL of what it follows."""
        keep = format != LIVE
        drawn = xmp.kept(read_drawing(drawing)) if keep and is_drawn(drawing) else b""
        return self.marker(picture, format, self.of(given, drawn), keep=keep)

    def filled(self, given: Mapping[str, Any], name: str = "prompt") -> str:
        """A prompt in its template, if it has one."""
        pattern = self.about.templates[given["template"]] if "template" in given else "{prompt}"
        filled: str = pattern.replace("{prompt}", given[name])
        return filled
