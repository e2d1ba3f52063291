"""A tap, a palm, a pen and two fingers on the canvas, and a browser that hides what they drew."""

import time

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from sdxs.service.painting import ALONE
from tests.browser.canvas import DRAWN, alone, canvas, draw, drawing, finger, follows, stylus
from tests.browser.conftest import HANDHELD, note

pytestmark = pytest.mark.browser

UNDO = "#sdxs-undo"


@pytest.fixture
def page(visit, address) -> Page:
    """On a device with a touchscreen."""
    page = alone(visit(address, width=700, height=900, **HANDHELD))
    canvas(page).scroll_into_view_if_needed()
    return page


def ink(page: Page) -> np.ndarray:
    """Which pixels of the canvas are dark."""
    return np.asarray(drawing(page).convert("L")) < 128


def place(page: Page, x: float, y: float, **more: int) -> dict[str, float]:
    """A place of the canvas, in shares of its sides, as one of the window."""
    box = canvas(page).bounding_box()
    return {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"], **more}


@pytest.mark.parametrize("by", ["mouse", "pen", "touch"])
def test_a_tap_leaves_a_dot(page, by):
    if by == "pen":
        pen = stylus(page)
        pen("mousePressed", place(page, 0.5, 0.5))
        pen("mouseReleased", place(page, 0.5, 0.5))
    else:
        draw(page, (0.5, 0.5), by=by)
    follows(page)
    rows, columns = np.nonzero(ink(page))
    assert len(rows) == pytest.approx(np.pi * 5**2, rel=0.2)  # the middle brush is 10 wide
    assert abs(rows.mean() - 256) < 3 and abs(columns.mean() - 256) < 3
    page.locator(UNDO).click()
    expect(page.locator(UNDO)).to_have_attribute("aria-disabled", "true")
    alone(page)


def test_a_tap_of_each_brush_and_of_the_eraser(page):
    areas = []
    for brush, x in (("Thin", 0.2), ("Middle", 0.5), ("Thick", 0.8)):
        page.get_by_role("button", name=f"{brush} brush").click()
        before = ink(page).sum()
        draw(page, (x, 0.5))
        areas.append(ink(page).sum() - before)
    assert 10 < areas[0] < areas[1] / 2 < areas[2] / 4
    page.get_by_role("button", name="Eraser").click()
    for x in (0.2, 0.5, 0.8):
        draw(page, (x, 0.5))
    assert np.asarray(drawing(page)).min() > 250


def test_a_pen_takes_over_from_a_palm(page):
    draw(page, (0.1, 0.1), (0.5, 0.1))
    follows(page)
    before = page.evaluate(DRAWN)
    palm, pen = finger(page), stylus(page)
    palm("Start", place(page, 0.8, 0.8))
    palm("Move", place(page, 0.8, 0.9))
    assert page.evaluate(DRAWN) != before
    page.wait_for_timeout(600)  # a palm may have lain there for long
    pen("mousePressed", place(page, 0.2, 0.3))
    pen("mouseMoved", place(page, 0.4, 0.3))
    palm("Move", place(page, 0.7, 0.9))
    pen("mouseMoved", place(page, 0.6, 0.3))
    pen("mouseReleased", place(page, 0.6, 0.3))
    palm("End")
    follows(page)
    assert not ink(page)[300:].any() and ink(page)[140:170, 110:300].any(0).all()
    page.locator(UNDO).click()
    assert page.evaluate(DRAWN) == before


def test_a_finger_does_not_take_over_from_a_pen(page):
    palm, pen = finger(page), stylus(page)
    pen("mousePressed", place(page, 0.2, 0.3))
    palm("Start", place(page, 0.8, 0.8))
    palm("Move", place(page, 0.8, 0.9))
    pen("mouseMoved", place(page, 0.6, 0.3))
    palm("End")
    pen("mouseReleased", place(page, 0.6, 0.3))
    follows(page)
    assert not ink(page)[300:].any() and ink(page)[140:170, 110:300].any(0).all()


def test_a_pinch_draws_nothing(page):
    draw(page, (0.1, 0.1), (0.5, 0.1))
    page.locator(UNDO).click()
    before, touch = page.evaluate(DRAWN), finger(page)
    one, other = place(page, 0.3, 0.3, id=1), place(page, 0.7, 0.7, id=2)
    now = time.time()
    touch("Start", one, at=now)
    touch("Move", place(page, 0.32, 0.32, id=1), at=now + 0.1)
    touch("Start", place(page, 0.32, 0.32, id=1), other, at=now + 0.2)
    touch("Move", place(page, 0.4, 0.4, id=1), place(page, 0.6, 0.6, id=2), at=now + 0.3)
    touch("End", at=now + 0.4)
    assert page.evaluate(DRAWN) == before
    expect(page.locator(UNDO)).to_have_attribute("aria-disabled", "true")
    expect(page.locator("#sdxs-redo")).to_have_attribute("aria-disabled", "false")
    alone(page)
    draw(page, (0.2, 0.2), (0.8, 0.7), by="touch")
    follows(page)


def test_a_second_finger_later_on_does_not_draw(page):
    one, other, touch = place(page, 0.1, 0.1, id=1), place(page, 0.7, 0.7, id=2), finger(page)
    touch("Start", one)
    page.wait_for_timeout(700)
    touch("Start", one, other)
    touch("Move", place(page, 0.4, 0.1, id=1), place(page, 0.5, 0.5, id=2))
    touch("End")
    follows(page)
    assert ink(page)[:200].any() and not ink(page)[200:].any()


def test_a_touch_that_the_system_takes_for_a_palm(page):
    touch = finger(page)
    touch("Start", place(page, 0.3, 0.3))
    touch("Move", place(page, 0.5, 0.5))
    touch("Cancel")
    alone(page)
    assert not ink(page).any()


# What browsers do against fingerprinting: noise everywhere, nothing at all, paper everywhere.
NOISE = """
const own = CanvasRenderingContext2D.prototype.getImageData;
const encode = HTMLCanvasElement.prototype.toDataURL;
const hide = (pixels) => {
  for (let at = 0; at < pixels.data.length; at++) pixels.data[at] = HIDE;
};
CanvasRenderingContext2D.prototype.getImageData = function (...place) {
  const pixels = own.apply(this, place);
  if (!window.allowed) hide(pixels);
  return pixels;
};
HTMLCanvasElement.prototype.toDataURL = function (...kind) {
  if (window.allowed) return encode.apply(this, kind);
  const copy = this.cloneNode();
  const context = copy.getContext("2d");
  context.drawImage(this, 0, 0);
  const pixels = own.call(context, 0, 0, copy.width, copy.height);
  hide(pixels);
  context.putImageData(pixels, 0, 0);
  return encode.apply(copy, kind);
};
"""
EMPTY = """
const encode = HTMLCanvasElement.prototype.toDataURL;
HTMLCanvasElement.prototype.toDataURL = function (...kind) {
  return window.allowed ? encode.apply(this, kind) : "data:,";
};
"""
HIDES = {
    "noise": NOISE.replace("HIDE", "256 * Math.random()"),
    "paper": NOISE.replace("HIDE", "255"),
    "nothing": NOISE.replace("HIDE", "0"),
    "empty": EMPTY,
}


@pytest.mark.parametrize("way", HIDES)
def test_a_browser_that_hides_the_canvas_is_told_so(visit, address, way):
    page = visit(address, script=HIDES[way])
    expect(note(page)).to_contain_text("This browser hides the canvas")
    expect(note(page)).to_have_attribute("data-kind", "warning")
    draw(page, (0.2, 0.2), (0.8, 0.7))
    expect(page.locator("[data-busy]")).to_have_count(0)
    expect(note(page)).to_contain_text("This browser hides the canvas")  # and no noise is followed
    expect(page.locator("#sdxs-control")).to_be_hidden()
    page.evaluate("window.allowed = true")
    draw(page, (0.2, 0.7), (0.8, 0.2))
    follows(page)
    expect(note(page)).to_be_empty()
    for _ in range(2):
        page.locator(UNDO).click()
    assert not ink(page).any()
    expect(note(page)).to_have_text(ALONE)


def test_a_little_noise_hides_nothing(visit, address):
    little = "pixels.data[at] ^ (Math.random() < 0.1)"
    page = visit(address, script=NOISE.replace("HIDE", little))
    expect(note(page)).to_contain_text("this is the prompt alone")
    draw(page, (0.2, 0.2), (0.8, 0.7))
    expect(page.locator("#sdxs-control")).to_be_visible()
    expect(note(page)).to_be_empty()
