"""Eight seeds of the picture on show: painted for a hand that rests, adopted by click or key."""

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.canvas import draw, drawing
from tests.browser.conftest import HANDHELD, PROMPT, source, wait_for
from tests.browser.standin import Follower, Standin

pytestmark = pytest.mark.browser

LAST = 2**63 - 1
SHOWN = """wanted => {
  const pictures = [...document.querySelectorAll(".sdxs-block img")];
  return pictures.every((picture, place) => bare(picture.src) === wanted[place]);
}"""
# A strip comes by itself where pictures are quick. Here they are, however busy the machine is.
QUICK = """
document.addEventListener("sdxs:shown", ({ detail: { answer } }) => (answer.ms = 20), true);
"""


def strip(page: Page) -> Locator:
    return page.get_by_role("group", name="Variety").get_by_role("button")


def seed(page: Page, number: int) -> Locator:
    return page.get_by_role("button", name=f"seed {number}", exact=True)


def shows(page: Page, first: int, prompt: str) -> None:
    """Wait until the strip has the block that begins with a seed, byte for byte."""
    wanted = [source(Standin.draw(prompt, first + place)) for place in range(8)]
    page.wait_for_function(SHOWN, arg=wanted)


def places(page: Page) -> list:
    script = """all => all.map(one => {
        const { x, y, width, height } = one.getBoundingClientRect();
        return [x, y + window.scrollY, width, height];
    })"""
    every = "#sdxs-picture, .sdxs-block [role=group] button, #sdxs-about"
    return page.locator(every).evaluate_all(script)


def settled(page: Page, prompt: str, number: int = 0) -> None:
    """Wait for the final picture."""
    wait_for(page, Standin.draw(prompt, number, decoder="large"))


@pytest.mark.parametrize("phone", [False, True])
def test_a_hand_that_rests_sees_eight_seeds_and_nothing_moves(visit, both, quick, phone):
    page = visit(both, script=QUICK, **({"width": 390, "height": 844, **HANDHELD} if phone else {}))
    before = len(quick.batches)
    page.get_by_label("Prompt").fill("a cone")
    settled(page, "a cone")
    rested = places(page)
    shows(page, 0, "a cone")
    assert places(page) == rested
    assert quick.batches[before:] == [list(range(8))]
    expect(seed(page, 0)).to_have_attribute("aria-pressed", "true")
    seed(page, 5).click()
    settled(page, "a cone", 5)
    expect(page.get_by_label("Seed")).to_have_value("5")
    expect(page.locator(".sdxs-block [aria-pressed=true]")).to_have_text("seed 5")
    page.wait_for_timeout(1500)
    shows(page, 0, "a cone")
    assert places(page) == rested
    assert len(quick.batches) == before + 1  # the block stays, and is not painted again
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def test_the_arrow_keys_go_through_it_and_enter_adopts(visit, both):
    page = visit(both, script=QUICK)
    page.get_by_label("Prompt").fill("a cube")
    shows(page, 0, "a cube")
    assert [one.get_attribute("tabindex") for one in strip(page).all()] == ["0"] + ["-1"] * 7
    seed(page, 0).focus()
    keys = "Right 1, Down 5, Down 5, Left 4, Home 0, Left 0, End 7, Right 7, Up 3, End 7"
    for key, number in map(str.split, keys.split(", ")):
        page.keyboard.press(key if key in ("Home", "End") else f"Arrow{key}")
        expect(seed(page, number)).to_be_focused()
    expect(page.get_by_label("Seed")).to_have_value("0")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Seed")).to_have_value("7")
    settled(page, "a cube", 7)
    expect(seed(page, 7)).to_be_focused()


def test_large_seeds_keep_every_digit(visit, both):
    page = visit(both, script=QUICK)
    page.get_by_label("Prompt").fill("a ball")
    page.get_by_label("Seed").fill(str(LAST))
    shows(page, LAST - 7, "a ball")
    expect(seed(page, LAST)).to_have_attribute("aria-pressed", "true")
    seed(page, LAST - 6).click()
    expect(page.get_by_label("Seed")).to_have_value(str(LAST - 6))
    settled(page, "a ball", LAST - 6)


def test_folded_away_it_costs_nothing_and_stays_so(visit, both, quick):
    page = visit(both, script=QUICK)
    page.get_by_text("Eight seeds", exact=True).click()
    expect(strip(page).first).to_be_hidden()
    before = len(quick.batches)
    page.get_by_label("Prompt").fill("a star")
    settled(page, "a star")
    page.wait_for_timeout(1500)
    assert len(quick.batches) == before
    page.reload()
    expect(page.get_by_text("Eight seeds", exact=True)).to_be_visible()
    expect(strip(page).first).to_be_hidden()
    settled(page, "a star")
    page.get_by_text("Eight seeds", exact=True).click()
    shows(page, 0, "a star")


def test_where_a_picture_takes_long_it_is_asked_for(visit, url, standin):
    page = visit(url)
    before = len(standin.made)
    more = page.get_by_role("button", name="Show eight seeds")
    more.click()  # the welcome picture's
    shows(page, 0, PROMPT)
    expect(more).to_be_hidden()
    made = len(standin.made)
    assert made == before + 8
    page.get_by_label("Prompt").fill("a cone")
    wait_for(page, Standin.draw("a cone", 0))
    expect(more).to_be_visible()
    assert len(standin.made) == made + 1


def test_on_the_canvas_it_follows_the_drawing(visit, address):
    page = visit(address, script=QUICK)
    draw(page, (0.2, 0.2), (0.8, 0.7))
    image = Follower.condition("sketch", drawing(page))
    wait_for(page, Follower.follow(PROMPT, 0, "sketch", image))
    wanted = [source(Follower.follow(PROMPT, number, "sketch", image)) for number in range(8)]
    page.wait_for_function(SHOWN, arg=wanted)
