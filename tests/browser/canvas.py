"""What the tests of the canvas page do with it, and see of it."""

import base64
import io
import time
from collections.abc import Callable
from itertools import chain, cycle

from PIL import Image
from playwright.sync_api import Locator, Page, expect

from sdxs.service.painting import ALONE
from tests.browser.conftest import PATIENCE_MS, PROMPT, note, wait_for
from tests.browser.standin import Follower

DRAWN = "() => document.getElementById('sdxs-drawing').toDataURL('image/png')"


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


def finger(page: Page) -> Callable[..., None]:
    """`touch("Start", place, …)`, then "Move" and "End", at {x, y} of the window; at: when, in
    seconds of the epoch, whatever it takes to say so."""
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *places: dict[str, float], at: float | None = None) -> None:
        about = {"type": f"touch{kind}", "touchPoints": list(places)}
        about |= {} if at is None else {"timestamp": at}
        session.send("Input.dispatchTouchEvent", about)

    return touch


def stylus(page: Page) -> Callable[..., None]:
    """`pen("mousePressed", place)`, then "mouseMoved" and "mouseReleased": a pen."""
    session = page.context.new_cdp_session(page)

    def pen(kind: str, place: dict[str, float]) -> None:
        about = {"type": kind, "button": "left", "buttons": 1, "clickCount": 1, "force": 0.5}
        session.send("Input.dispatchMouseEvent", {**about, **place, "pointerType": "pen"})

    return pen


def draw(
    page: Page,
    *places: tuple[float, float],
    pause: int = 0,
    by: str = "mouse",
    pictures: int = 0,
) -> None:
    """A stroke through places of the canvas, in shares of its sides.

    pictures: how many must be seen before it ends. It goes back and forth until then, and fails
    where none comes for as long as pages are waited for.
    """
    canvas(page).scroll_into_view_if_needed()
    box = canvas(page).bounding_box()
    touch = finger(page) if by == "touch" else None
    page.evaluate("seen.length = 0")
    seen, last = 0, time.monotonic()
    for number, (x, y) in enumerate(chain(places, cycle(places[::-1] + places))):
        if number >= len(places) and seen >= pictures:
            break
        at = box["x"] + x * box["width"], box["y"] + y * box["height"]
        if touch:
            touch("Move" if number else "Start", {"x": at[0], "y": at[1]})
        else:
            page.mouse.move(*at)
        if not touch and number == 0:
            page.mouse.down()
        page.wait_for_timeout(pause)
        if pictures and (now := page.evaluate("seen.length")) > seen:
            seen, last = now, time.monotonic()
        waited = 1000 * (time.monotonic() - last)
        assert not pictures or waited < PATIENCE_MS, "no picture came during the stroke"
    touch("End") if touch else page.mouse.up()
