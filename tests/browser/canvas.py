"""What the tests of the canvas page do with it, and see of it."""

import base64
import io
from collections.abc import Iterator

from PIL import Image
from playwright.sync_api import Locator, Page, expect

from sdxs.page.about import About
from sdxs.page.answers import ALONE
from sdxs.page.ui import sketch_page
from tests.browser.conftest import note, served, wait_for
from tests.browser.standin import Follower

PROMPT = "a red house at sunset"
DRAWN = "() => document.getElementById('sdxs-drawing').toDataURL('image/png')"


def addresses() -> Iterator[str]:
    """Of the page on a stand-in, while it is served."""
    about = About(
        checkpoint="standin",
        examples=(PROMPT, "a blue ball"),
        conditions=("sketch", "canny"),
        templates={"at sea": "{prompt} on the sea"},
    )
    follower = Follower(0.05)
    yield from served(sketch_page(follower, follower.condition, about=about))


def picture_of(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))


def drawing(page: Page) -> Image.Image:
    """What is on the canvas, RGB."""
    return picture_of(page.evaluate(DRAWN)).convert("RGB")


def canvas(page: Page) -> Locator:
    return page.locator("#sdxs-drawing")


def follows(page: Page, *, prompt: str = PROMPT, seed: int = 0, way: str = "sketch", scale=1.0):
    """Wait until the picture on the page follows what is on the canvas now."""
    image = Follower.condition(way, drawing(page))
    wait_for(page, Follower.follow(prompt, seed, way, image, scale))


def alone(page: Page, prompt: str = PROMPT) -> Page:
    """Wait for the picture of the prompt without a drawing, and for the hint."""
    wait_for(page, Follower.follow(prompt, 0))
    expect(note(page)).to_have_text(ALONE)
    expect(note(page)).to_have_attribute("data-kind", "hint")
    return page


def draw(page: Page, *places: tuple[float, float], pause: int = 0) -> None:
    """A stroke of the mouse through places of the canvas, in shares of its sides."""
    box = canvas(page).bounding_box()
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
    page.mouse.move(*at[0])
    page.mouse.down()
    for place in at[1:]:
        page.mouse.move(*place)
        page.wait_for_timeout(pause)
    page.mouse.up()
