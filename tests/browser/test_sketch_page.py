"""The canvas page in a real browser: what a visitor draws, undoes, sets, sees and is told."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from sdxs.metadata.reading import read
from sdxs.page.answers import EMPTIED
from tests.browser.canvas import (
    DRAWN,
    alone,
    canvas,
    draw,
    drawing,
    follows,
    picture_of,
)
from tests.browser.conftest import HANDHELD, PROMPT, note
from tests.browser.standin import Follower

pytestmark = pytest.mark.browser


@pytest.fixture
def page(visit, address) -> Page:
    """As it is after a visitor came, and before anything is drawn."""
    return alone(visit(address))


def test_a_blank_canvas_shows_the_prompt_alone_and_hints(page):
    expect(page.locator("#sdxs-control")).to_be_hidden()
    page.get_by_label("Prompt").fill("a blue ball")
    alone(page, "a blue ball")
    page.get_by_label("Prompt").fill("")
    expect(note(page)).to_have_text(EMPTIED)


def test_the_picture_follows_during_the_stroke_and_ends_in_the_whole_of_it(page):
    places = [(0.1 + 0.016 * i, 0.5 + 0.2 * (i % 2)) for i in range(50)]
    draw(page, *places, pause=60, pictures=15)
    follows(page)
    expect(note(page)).to_be_empty()
    followed = picture_of(page.locator("#sdxs-control").get_attribute("src"))
    assert followed.tobytes() == Follower.condition("sketch", drawing(page)).tobytes()


def test_a_first_stroke_right_after_loading_counts(visit, address):
    page = visit(address)
    canvas(page).wait_for()
    draw(page, (0.2, 0.2), (0.8, 0.8))
    follows(page)


def test_undo_redo_and_clear(page):
    undo, redo = (page.get_by_role("button", name=name, exact=True) for name in ("Undo", "Redo"))
    expect(undo).to_have_attribute("aria-disabled", "true")
    draw(page, (0.2, 0.2), (0.8, 0.2))
    follows(page)
    first, shown = page.evaluate(DRAWN), page.locator("#sdxs-picture").get_attribute("src")
    draw(page, (0.2, 0.6), (0.8, 0.9))
    follows(page)
    second = page.evaluate(DRAWN)
    assert second != first
    expect(redo).to_have_attribute("aria-disabled", "true")
    undo.click()
    page.wait_for_function("src => document.getElementById('sdxs-picture').src === src", arg=shown)
    assert page.evaluate(DRAWN) == first
    page.keyboard.press("Control+y")
    assert page.evaluate(DRAWN) == second
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+Shift+z")
    assert page.evaluate(DRAWN) == second
    page.get_by_role("button", name="Clear").click()
    alone(page)
    undo.click()
    assert page.evaluate(DRAWN) == second
    expect(undo).to_be_focused()
    follows(page)
    page.get_by_role("radio", name="a drawing").focus()
    page.keyboard.press("Control+z")  # a radio has nothing to undo
    assert page.evaluate(DRAWN) == first


def test_undo_in_the_prompt_is_the_prompts(page):
    draw(page, (0.2, 0.2), (0.8, 0.2))
    drawn = page.evaluate(DRAWN)
    page.get_by_label("Prompt").click()
    page.keyboard.type(" and")
    page.keyboard.press("Control+z")
    assert page.evaluate(DRAWN) == drawn


def test_brushes_and_the_eraser(page):
    dark = []
    for height, brush in ((0.2, "Thin"), (0.4, "Middle"), (0.6, "Thick")):
        page.get_by_role("button", name=f"{brush} brush").click()
        before = np.asarray(drawing(page)).min(-1)
        draw(page, (0.1, height), (0.9, height))
        dark.append(int((np.asarray(drawing(page)).min(-1) != before).sum()))
    assert dark == sorted(dark) and dark[0] < dark[2] / 2
    page.get_by_role("button", name="Eraser").click()
    pen = page.get_by_role("button", name="Pen", exact=True)
    expect(pen).to_have_attribute("aria-pressed", "false")
    for height in (0.2, 0.4, 0.6):
        draw(page, (0.02, height), (0.98, height))
    assert np.asarray(drawing(page)).min() > 250
    alone(page)


def test_drawing_by_keyboard(page):
    canvas(page).focus()
    outline = canvas(page).evaluate("element => getComputedStyle(element).outlineStyle")
    assert outline == "solid"  # where the focus is can be seen
    said = page.locator("#sdxs-pen")
    for key in ("ArrowLeft", "Space", "Shift+ArrowRight", "Shift+ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    expect(said).to_have_text("Pen down")
    page.keyboard.press("Space")
    expect(page.locator("#sdxs-cursor")).to_be_visible()
    page.keyboard.press("ArrowUp")  # with the pen lifted
    expect(said).to_have_text("Pen up")
    ink = np.asarray(drawing(page).convert("L")) < 128
    rows, columns = np.nonzero(ink)
    assert 60 <= np.ptp(columns) <= 80 and 8 <= np.ptp(rows) <= 24
    follows(page)
    page.keyboard.press("Control+z")
    alone(page)
    page.keyboard.press("E")  # with the shift lock on
    expect(said).to_have_text("Eraser")
    page.keyboard.press("p")
    page.keyboard.press("Space")
    page.keyboard.press("Control+z")  # which lifts the pen, too
    expect(page.locator("#sdxs-cursor")).not_to_have_attribute("data-down", "")


def test_keys_leave_a_stroke_of_the_mouse_alone(page):
    box = canvas(page).bounding_box()
    at = [(box["x"] + share * box["width"], box["y"] + 40) for share in (0.1, 0.5, 0.9)]
    page.mouse.move(*at[0])
    page.mouse.down()
    page.mouse.move(*at[1])
    for key in ("ArrowDown", "Space"):
        page.keyboard.press(key)
    page.mouse.move(*at[2])
    page.mouse.up()
    follows(page)
    rows, columns = np.nonzero(np.asarray(drawing(page).convert("L")) < 128)
    assert np.ptp(rows) < 20 and np.ptp(columns) > 380


def test_seed_strength_condition_and_template(page):
    draw(page, (0.2, 0.2), (0.5, 0.9), (0.8, 0.2))
    follows(page)
    page.get_by_label("Seed").fill("41")
    follows(page, seed=41)
    page.get_by_label("edges of a photo").check()
    follows(page, seed=41, way="canny")
    page.get_by_role("radio", name="a drawing").check()
    page.locator("#sdxs-strength input[type=number]").fill("0.4")
    page.keyboard.press("Tab")
    follows(page, seed=41, scale=0.4)
    page.get_by_label("at sea").check()
    follows(page, seed=41, scale=0.4, prompt=f"{PROMPT} on the sea")
    page.locator("#sdxs-dice").click()
    seed = page.get_by_label("Seed")
    expect(seed).not_to_have_value("41")
    draw(page, (0.1, 0.1), (0.9, 0.9))
    follows(page, seed=int(seed.input_value()), scale=0.4, prompt=f"{PROMPT} on the sea")


@pytest.mark.parametrize(
    "sent",
    [
        "<html>",
        "data:image/gif;base64,R0lGODlhAQABAAAAACw=",
        "data:image/png;base64,iVBORw0KGgo",
        "data:image/png;base64," + base64.b64encode(b"<html></html>").decode(),
        "data:image/png;base64," + "A" * 8_000_004,
    ],
    ids=["prefix", "gif", "length", "html", "large"],
)
def test_a_spoiled_drawing_is_one_line_and_the_next_stroke_works(page, sent):
    spoils = "sent => { window.own = proto.toDataURL; proto.toDataURL = () => sent; }"
    page.evaluate("() => { window.proto = HTMLCanvasElement.prototype; }")
    page.evaluate(spoils, sent)
    draw(page, (0.2, 0.2), (0.8, 0.7))
    expect(note(page)).to_have_attribute("data-kind", "error")
    assert "\n" not in note(page).inner_text() and len(note(page).inner_text()) < 300
    page.evaluate("() => { proto.toDataURL = own; }")
    draw(page, (0.2, 0.8), (0.8, 0.3))
    follows(page)
    expect(note(page)).to_be_empty()


def test_downloads_of_drawing_and_picture(page):
    draw(page, (0.2, 0.2), (0.8, 0.7))
    follows(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the drawing").click()
    assert download.value.suggested_filename == "drawing.png"
    kept = Image.open(download.value.path()).convert("RGB")
    assert kept.tobytes() == drawing(page).tobytes()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download PNG").click()
    picture = Image.open(download.value.path())
    found = read(download.value.path(), "it")
    assert found.parameters.prompt == PROMPT and found.parameters.settings["Condition"] == "sketch"
    carried = Image.open(io.BytesIO(found.drawing)).convert("RGB")
    assert carried.tobytes() == drawing(page).tobytes()
    image = Follower.condition("sketch", drawing(page))
    assert picture.tobytes() == Follower.follow(PROMPT, 0, "sketch", image).tobytes()


@pytest.mark.parametrize("width", [390, 768])
def test_touch_draws_and_nothing_moves(visit, address, width):
    page = visit(address, width=width, height=700, **HANDHELD)
    alone(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    canvas(page).scroll_into_view_if_needed()
    box, before = canvas(page).bounding_box(), page.evaluate("scrollY")
    places = [(0.2 + 0.012 * step, 0.9 - 0.014 * step) for step in range(50)]
    draw(page, *places, pause=60, by="touch", pictures=15)
    follows(page)
    assert page.evaluate("scrollY") == before
    assert canvas(page).bounding_box() == box


def test_labels_for_those_who_cannot_see(visit, address):
    page = visit(address)
    buttons = page.locator("#sdxs-canvas button")
    expect(buttons).to_have_count(11)
    for button in buttons.all():
        assert button.get_attribute("aria-label")
    assert "Arrow keys" in canvas(page).get_attribute("aria-label")
    expect(page.get_by_role("group", name="Drawing tools")).to_be_visible()


def test_two_visitors_each_see_their_own_drawing(visit, address):
    first, second = visit(address), visit(address)
    for step in range(3):
        for number, page in enumerate((first, second)):
            height = 0.2 + 0.2 * step + 0.1 * number
            draw(page, (0.1, height), (0.9, height + 0.05 * number))
    follows(first)
    follows(second)
