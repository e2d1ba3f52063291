"""The one place where pictures get what their files say: parameters, the mark that a model made
them, and a signature.

PNG has the parameters as text, JPEG and WebP in EXIF's UserComment, as stable-diffusion-webui
writes them; all three have the mark in XMP. Knows nothing of where pictures come from.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sdxs.metadata.credentials import Credentials
from sdxs.metadata.parameters import title, written
from sdxs.metadata.xmp import packet
from sdxs.picture import Size, encode

EXIF_IFD, USER_COMMENT = 0x8769, 0x9286
LARGEST_EXIF = 65_000  # bytes; a JPEG has room for so much
XMP = "XML:com.adobe.xmp"
FIRST = {"Steps": 1, "Sampler": "one step", "CFG scale": 1}  # what other programs look for


@dataclass(frozen=True)
class Label:
    """How a picture was made. settings: all that was asked for, by the names that people read;
    files and folders are said by their names, not by where they lie. drawing: what it follows, as
    `xmp.kept` gives it."""

    prompt: str
    checkpoint: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    drawing: bytes = b""

    def of_film(self, **more: Any) -> "Label":
        """The same of a film, of which there is more to say; where on a walk, its frames say."""
        settings = {name: value for name, value in self.settings.items() if name != "Walk"}
        return replace(self, settings={**settings, **{title(k): v for k, v in more.items()}})

    def text(self, size: Size) -> str:
        """The parameters of a picture of this size."""
        said = dict(self.settings)
        for name in {"Style", "Control"} & set(said):
            said[name] = named(said[name])
        size_and_model = {"Size": "{}x{}".format(*size), "Model": named(self.checkpoint)}
        first = {**FIRST, "Seed": said.pop("Seed", 0), **size_and_model}
        return written(self.prompt, {**first, **{k: said[k] for k in said if k not in first}})


@dataclass(frozen=True)
class Marker:
    """Encodes pictures, with what their files are to say. parameters: whether they say how they
    were made; that a model made them they say in any case. credentials: what signs files to keep.
    """

    parameters: bool = True
    credentials: Credentials | None = None

    def __call__(
        self, picture: Image.Image, format: str, label: Label, *, keep: bool = False
    ) -> bytes:
        """A picture as the bytes of a "jpeg", "webp" or "png" file. keep: it is a file to keep, not
        a frame among many: it is signed, and has the drawing that it follows."""
        file = encode(picture, format, extra=self.extra(label, format, picture.size, keep=keep))
        return self.signed(file, format) if keep else file

    def text(self, label: Label | None, size: Size) -> str:
        """How a picture of this size was made, "" where the file is not to say it."""
        return label.text(size) if label and self.parameters else ""

    def signed(self, file: bytes, format: str) -> bytes:
        """A file to keep, of an "mp4", too, with its signature where there is one to give."""
        return self.credentials.signed(file, format) if self.credentials else file

    def extra(
        self, label: Label | None, format: str, size: Size, *, keep: bool = False
    ) -> dict[str, Any]:
        """What Pillow's `save` is to be told beside the format, of an animated picture, too."""
        text = self.text(label, size)
        mark = packet(label.drawing if label and keep and self.parameters else b"")
        if format == "png":
            chunks = PngInfo()
            if text:
                chunks.add_text("parameters", text)
            chunks.add_itxt(XMP, mark)
            return {"pnginfo": chunks}
        comment = _exif(text) if text else b""
        return {"exif": comment if len(comment) <= LARGEST_EXIF else b"", "xmp": mark}


def _exif(text: str) -> bytes:
    """EXIF that says a text in its UserComment."""
    exif = Image.Exif()
    exif.endian = ">"  # whoever reads a UserComment expects its letters in this order, and
    letters = text.encode("utf-16-be")  # whoever is careful takes the order of the whole
    exif.get_ifd(EXIF_IFD)[USER_COMMENT] = b"UNICODE\0" + letters
    return exif.tobytes()


def named(source: str) -> str:
    """Where something lies is nobody's business: a file or a folder by its name."""
    return Path(source).name if os.path.exists(source) else source
