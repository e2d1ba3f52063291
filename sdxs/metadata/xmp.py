"""What says to other programs that a picture is made by a model, and keeps a visitor's drawing.

A packet of XMP, of constant words but for the drawing: a small PNG in base64. What is read of
foreign packets is found by its name; no XML is parsed, so nothing in it can act.
"""

import base64
import binascii
import io
import re
import struct

import numpy as np
from PIL import Image

from sdxs.metadata.parameters import SOFTWARE
from sdxs.picture import to_rgb

AI_MADE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
LARGEST_DRAWING = 46_000  # bytes; with the words around it a JPEG has room for so much
MOST_PIXELS = 2_000_000  # of a drawing; a canvas has half as many at most
PNG, HEAD = b"\x89PNG\r\n\x1a\n", struct.Struct(">16sII")  # how one begins: its width and height
DRAWING = re.compile(r"""sdxs:drawing(?:=["']|>)([A-Za-z0-9+/=]{1,80000})["'<]""")

PACKET = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:sdxs="urn:sdxs:picture"
 xmp:CreatorTool="{SOFTWARE}"
 Iptc4xmpExt:DigitalSourceType="{AI_MADE}"%s/></rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""


def packet(drawing: bytes = b"") -> bytes:
    """The packet of a picture that a model made, with the drawing that it follows, see `kept`."""
    held = f'\n sdxs:drawing="{base64.b64encode(drawing).decode()}"' if drawing else ""
    return (PACKET % held).encode()


def kept(drawing: Image.Image) -> bytes:
    """A drawing as a small PNG, pixel by pixel; nothing where it does not fit, as a photo's."""
    if drawing.width * drawing.height > MOST_PIXELS:
        return b""
    picture = to_rgb(drawing)
    pixels = np.asarray(picture)
    if (pixels == pixels[..., :1]).all():
        picture = picture.convert("L")
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue() if file.tell() <= LARGEST_DRAWING else b""


def drawing_of(packet: str) -> bytes:
    """The drawing in a packet, which may be anything; nothing where there is none, or one larger
    than any canvas."""
    found = DRAWING.search(packet)
    try:
        drawing = base64.b64decode(found[1], validate=True) if found else b""
        _, width, height = HEAD.unpack_from(drawing)
    except (binascii.Error, struct.error):
        return b""
    return drawing if drawing.startswith(PNG) and width * height <= MOST_PIXELS else b""
