"""Keyboard, fingers, small windows, full screen, right to left, and what a screen reader hears."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.canvas import draw, follows
from tests.browser.conftest import HANDHELD, PROMPT, wait_for
from tests.browser.standin import Standin

pytestmark = pytest.mark.browser

PHONES = [(390, 844), (360, 640)]
NO_FULL_SCREEN = "delete Element.prototype.requestFullscreen;"  # as on an iPhone
FOCUS = """() => {
  const element = document.activeElement;
  const style = getComputedStyle(element);
  const ring = style.outlineStyle !== "none" || style.boxShadow !== "none";
  return [element.id || element.getAttribute("aria-label") || element.textContent.trim(), ring];
}"""


def below(page: Page, name: str) -> float:
    """Where an element ends, in pixels of the window."""
    return page.evaluate(f"document.querySelector('{name}').getBoundingClientRect().bottom")


def wide(page: Page) -> int:
    return page.evaluate("document.documentElement.scrollWidth")


@pytest.mark.parametrize("script", ["", NO_FULL_SCREEN], ids=["screen", "window"])
def test_full_screen_by_button_and_by_key(visit, url, script):
    page = visit(url, script=script)
    wait_for(page, Standin.draw(PROMPT, 0))
    button, picture = page.locator("#sdxs-full"), page.locator("#sdxs-picture")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_label("Prompt")).to_be_hidden()
    expect(page.locator("#sdxs-dice")).to_be_hidden()
    page.wait_for_function("document.getElementById('sdxs-picture').clientHeight > 700")
    assert below(page, "#sdxs-full") <= 900
    button.click()
    page.keyboard.press("f")
    page.evaluate("document.dispatchEvent(new Event('fullscreenchange'))")  # of the click, late
    expect(button).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Escape")
    expect(button).to_have_attribute("aria-pressed", "false")
    expect(page.get_by_label("Prompt")).to_be_visible()
    page.wait_for_function("document.getElementById('sdxs-picture').clientHeight < 600")
    page.get_by_label("Prompt").press_sequentially("foot?")
    expect(page.get_by_label("Prompt")).to_have_value("foot?")
    expect(button).to_have_attribute("aria-pressed", "false")
    expect(picture).to_be_visible()


@pytest.mark.parametrize(("width", "height"), [(1180, 820), (390, 844)], ids=["lying", "standing"])
def test_canvas_and_picture_share_the_full_screen(visit, address, width, height):
    page = visit(address, width=width, height=height, script=NO_FULL_SCREEN)
    page.locator("#sdxs-full").click()
    canvas, picture = (
        page.locator(f"#sdxs-{name}").bounding_box() for name in ("drawing", "picture")
    )
    assert canvas["width"] == pytest.approx(picture["width"], abs=2)
    assert (canvas["y"] == pytest.approx(picture["y"], abs=8)) == (width > height)
    assert below(page, "#sdxs-drawing") < height and below(page, "#sdxs-picture") < height
    draw(page, (0.2, 0.2), (0.8, 0.7))
    follows(page)


def test_a_list_of_keys_in_which_single_ones_can_be_switched_off(visit, address):
    page = visit(address)
    page.locator("#sdxs-dice").focus()
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    for key in ("F", "Esc", "Space", "Ctrl+Z"):
        expect(keys).to_contain_text(key)
    keys.get_by_label("Single keys").uncheck()
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()
    page.reload()
    page.locator("#sdxs-dice").focus()
    page.keyboard.press("f")
    expect(page.locator("#sdxs-full")).to_have_attribute("aria-pressed", "false")
    page.get_by_role("button", name="Keys").click()
    keys.get_by_label("Single keys").check()
    keys.get_by_role("button", name="Close").click()
    page.keyboard.press("f")
    expect(page.locator("#sdxs-full")).to_have_attribute("aria-pressed", "true")


def test_the_keyboard_goes_through_the_page_in_its_order_and_is_seen(visit, url):
    page = visit(url)
    page.get_by_label("Prompt").fill("a cat")
    expect(page.locator("#sdxs-unknown button").first).to_be_visible()
    wait_for(page, Standin.draw("a cat", 0))
    page.get_by_label("Prompt").focus()
    found = []
    for _ in range(16):
        page.keyboard.press("Tab")
        found.append(page.evaluate(FOCUS))
    assert [name for name, ring in found if not ring] == []
    names = [name for name, _ in found]
    near = ["ball instead of cat", "house instead of cat"]
    assert names[:6] == [*near, "sdxs-live", "sdxs-full", "sdxs-copy", "sdxs-save"], names
    assert "sdxs-dice" in names[6:]


def test_a_picture_is_called_by_its_prompt_and_announced_once_the_hand_rests(visit, url):
    page = visit(url)
    heard = page.locator("#sdxs-heard")
    page.get_by_label("ink").check()
    page.get_by_label("Prompt").fill("a cone")
    wait_for(page, Standin.draw("a cone", 0, style="ink"))
    expect(page.locator("#sdxs-picture")).to_have_attribute("alt", "a cone (seed 0, style ink)")
    assert "cone" not in heard.inner_text()
    expect(heard).to_have_text("Painted: a cone (seed 0, style ink)")
    assert page.locator("html").get_attribute("lang") == "en"


@pytest.mark.parametrize(("width", "height"), PHONES)
def test_prompt_picture_and_canvas_are_in_sight_together_on_a_phone(visit, address, width, height):
    page = visit(address, width=width, height=height, **HANDHELD)
    page.locator("#sdxs-picture[src]").wait_for()
    assert page.evaluate("scrollY") == 0 and wide(page) <= width
    for name in ("#sdxs-prompt", "#sdxs-picture", "#sdxs-drawing"):
        assert below(page, name) <= height, name
    assert page.locator("#sdxs-drawing").bounding_box()["width"] >= 200


def test_canvas_and_picture_are_beside_one_another_on_a_phone_held_sideways(visit, address):
    page = visit(address, width=667, height=375, **HANDHELD)
    page.locator("#sdxs-picture[src]").wait_for()
    drawing, picture = page.locator("#sdxs-drawing"), page.locator("#sdxs-picture")
    for width, height in ((667, 375), (844, 390)):
        page.set_viewport_size({"width": width, "height": height})
        left, right = drawing.bounding_box(), picture.bounding_box()
        assert left["x"] + left["width"] < right["x"] and left["y"] == right["y"]
        assert 250 <= left["width"] == right["width"] <= height and wide(page) <= width


def test_fingers_and_a_phones_keyboard(visit, url):
    page = visit(url, width=390, height=844, **HANDHELD)
    wait_for(page, Standin.draw(PROMPT, 0))
    for button in page.get_by_role("button").all():
        box = button.bounding_box()
        of_ours = button.evaluate(
            "it => it.matches('.sdxs-button, .sdxs-tools button, #sdxs-dice, #sdxs-to-dice')"
        )
        assert box is None or min(box["width"], box["height"]) >= (44 if of_ours else 24)
    assert page.locator("figcaption").bounding_box()["height"] < 2 * 44  # one row
    fields = page.locator("textarea, input[type=text], input[type=number]")
    sizes = fields.evaluate_all("all => all.map(one => parseFloat(getComputedStyle(one).fontSize))")
    assert min(sizes) >= 16  # smaller ones are zoomed into
    page.get_by_label("Prompt").tap()
    page.set_viewport_size({"width": 390, "height": 500})
    page.wait_for_function(
        "document.getElementById('sdxs-picture').getBoundingClientRect().bottom <= 500"
    )
    assert page.locator("#sdxs-picture").bounding_box()["width"] >= 140


SCROLLS = """
[...document.querySelectorAll("body *")]
  .filter(it => /auto|scroll/.test(getComputedStyle(it).overflowX))
  .filter(it => it.scrollWidth > it.clientWidth)
  .map(it => it.outerHTML.slice(0, 200))
"""


@pytest.mark.parametrize("of", ["url", "address"])
def test_nothing_is_lost_in_a_narrow_window_or_from_right_to_left(visit, request, of):
    page = visit(request.getfixturevalue(of), width=320, height=640)
    assert wide(page) <= 320
    page.set_viewport_size({"width": 1280, "height": 900})
    assert page.evaluate(SCROLLS) == []  # sideways, which some browsers show a bar for
    title, keys = page.locator("h1"), page.locator("#sdxs-keys")
    assert title.bounding_box()["x"] < keys.bounding_box()["x"]
    page.evaluate("document.documentElement.dir = 'rtl'")
    assert title.bounding_box()["x"] > keys.bounding_box()["x"]
    assert wide(page) <= 1280
    page.set_viewport_size({"width": 390, "height": 844})
    assert wide(page) <= 390
    page.get_by_label("Prompt").fill("بيت أحمر")
    direction = "it => getComputedStyle(it).unicodeBidi"
    assert page.locator("#sdxs-prompt textarea").evaluate(direction) == "plaintext"
