"""The numbers behind the mark under the picture."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import HANDHELD, wait_for
from tests.browser.standin import Standin

pytestmark = pytest.mark.browser


def number(page: Page, name: str) -> str:
    return page.locator(f"[data-number={name}]").inner_text()


def places(page: Page) -> list:
    script = """all => all.map(one => {
        const { x, y, width, height } = one.getBoundingClientRect();
        return [x, y, width, height];
    })"""
    every = "#sdxs-picture, #sdxs-save, #sdxs-examples, #sdxs-about"
    return page.locator(every).evaluate_all(script)


@pytest.mark.parametrize("phone", [False, True])
def test_they_are_what_was_measured_and_move_nothing(visit, url, phone):
    page = visit(url, **({"width": 390, "height": 844, **HANDHELD} if phone else {}))
    mark, panel = page.locator("#sdxs-live"), page.get_by_label("Live numbers")
    expect(mark).to_have_attribute("aria-expanded", "false")
    expect(panel).to_be_hidden()
    mark.click()
    expect(panel).to_be_visible()
    expect(mark).to_have_attribute("aria-expanded", "true")
    expect(page.locator("#sdxs-limit")).to_have_text("No picture has been timed yet.")
    mark.click()
    for prompt in ("a cone", "a cube"):
        page.get_by_label("Prompt").fill(prompt)
        wait_for(page, Standin.draw(prompt, 0))
    page.wait_for_timeout(500)
    before = places(page)
    mark.click()
    expect(page.locator("#sdxs-limit")).to_have_text(
        re.compile(r"^The model takes most of it: \d+ of \d+ ms\.$")
    )
    assert places(page) == before
    names = "waiting", "model", "encoding", "network", "browser"
    parts = [int(number(page, name)) for name in names]
    assert int(number(page, "model")) >= 300
    assert abs(sum(parts) - int(number(page, "all"))) <= 5  # each is rounded
    assert int(number(page, "p50")) <= int(number(page, "p95"))
    box = panel.bounding_box()
    page.get_by_label("Prompt").fill("a ball")
    wait_for(page, Standin.draw("a ball", 0))
    page.wait_for_timeout(500)
    assert panel.bounding_box() == box and places(page) == before
    assert box["x"] >= 0 and box["x"] + box["width"] <= page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def test_on_a_phone_with_a_canvas_they_have_room(visit, address):
    page = visit(address, width=390, height=844, **HANDHELD)
    page.locator("#sdxs-live").click()
    box = page.get_by_label("Live numbers").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_escape_closes_them_and_the_focus_stays(visit, url):
    page = visit(url)
    page.locator("#sdxs-live").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Live numbers")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_label("Live numbers")).to_be_hidden()
    expect(page.locator("#sdxs-live")).to_be_focused()
    page.keyboard.press("Enter")
    page.locator("h1").click()  # elsewhere
    expect(page.get_by_label("Live numbers")).to_be_hidden()
