"""The canvas page on the embedded model with the sketch control that ships."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from sdxs import SDXS
from sdxs.page.about import About
from sdxs.page.ui import sketch_page
from tests.browser.canvas import DRAWN, picture_of
from tests.browser.conftest import served, wait_for

pytestmark = pytest.mark.browser

POINTS, MS = 50, 3000


@pytest.fixture(scope="module")
def model() -> SDXS:
    return SDXS.load("storybook", controls="sketch")


@pytest.fixture(scope="module")
def address(model) -> Iterator[str]:
    yield from served(sketch_page(model, model.condition, about=About.of(model, page="sketch")))


def waits_for_the_models(page: Page, model: SDXS) -> None:
    """Until the page shows, to the byte, what the model paints for what is on the canvas."""
    image = model.condition("sketch", picture_of(page.evaluate(DRAWN)))
    prompt = page.get_by_label("Prompt").input_value()
    picture = model(prompt, seed=0, control="sketch", control_image=image)
    wait_for(page, picture)


def stroke(page: Page, by: str, height: float) -> int:
    """50 places in three seconds; the pictures that were shown before the end."""
    canvas = page.locator("#sdxs-drawing")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    page.evaluate("seen.length = 0")
    touch = page.context.new_cdp_session(page) if by == "touch" else None
    for number in range(POINTS):
        x = box["x"] + box["width"] * (0.1 + 0.8 * number / POINTS)
        y = box["y"] + box["height"] * (height + 0.2 * (number % 10) / 10)
        if touch:
            kind = "touchMove" if number else "touchStart"
            touch.send(
                "Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]}
            )
        else:
            page.mouse.move(x, y)
            page.mouse.down() if number == 0 else None
        page.wait_for_timeout(MS / POINTS)
    during: int = page.evaluate("seen.length")
    if touch:
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    else:
        page.mouse.up()
    return during


@pytest.mark.parametrize("by", ["mouse", "touch"])
def test_a_stroke_is_painted_while_it_is_drawn(visit, address, model, by):
    handheld = {"width": 390, "height": 844, "has_touch": True, "is_mobile": True}
    page = visit(address, **(handheld if by == "touch" else {}))
    assert stroke(page, by, 0.2) >= 15
    waits_for_the_models(page, model)
    before = page.locator("#sdxs-picture").get_attribute("src")
    assert stroke(page, by, 0.6) >= 15
    waits_for_the_models(page, model)
    assert page.locator("#sdxs-picture").get_attribute("src") != before
    page.get_by_role("button", name="Undo", exact=True).click()
    page.wait_for_function("src => document.getElementById('sdxs-picture').src === src", arg=before)
