"""One page, with everything that a request may carry, for all the forms that programs speak."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from PIL import Image
from programs import served

from sdxs.page.ui import sketch_page
from sdxs.service.about import About
from tests.browser.standin import Follower

ABOUT = About(
    checkpoint="someone/house",
    decoders=("tiny", "large"),
    styles=("anime", "woodcut"),
    conditions=("sketch", "canny"),
    templates={"sea": "{prompt} on the sea"},
    words={"things": ["house", "boat"]},
    size=(128, 128),
)
TOGETHER = 8


@dataclass(frozen=True)
class Served:
    """A page that is served. address: without a slash at its end."""

    address: str
    standin: Follower


@pytest.fixture(scope="package")
def page() -> Iterator[Served]:
    standin = Follower(0)
    own = sketch_page(standin, standin.condition, about=ABOUT, together=TOGETHER, tools=True)
    with served(own) as address:
        yield Served(address.rstrip("/"), standin)


@pytest.fixture(scope="package")
def drawn() -> Image.Image:
    picture = Image.new("RGB", (16, 16), (255, 255, 255))
    picture.putpixel((3, 4), (0, 0, 0))
    return picture
