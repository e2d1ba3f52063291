"""The way to another picture in a real browser: a slider that paints, and films of it."""

import io
from collections.abc import Iterator
from typing import Any

import av
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from sdxs.page.ui import text_page
from sdxs.service.about import About
from tests.browser.canvas import draw
from tests.browser.conftest import HANDHELD, wait_for
from tests.browser.standin import Standin
from tests.programs import served

pytestmark = pytest.mark.browser

AWAY = "a blue boat"


@pytest.fixture(scope="module")
def quick() -> Standin:
    return Standin(0.02)


@pytest.fixture(scope="module")
def home(quick: Standin) -> Iterator[str]:
    with served(text_page(quick, about=About(size=(128, 128)))) as address:
        yield address


def shows(page: Page, prompt: str, seed: int = 0, **way: Any) -> None:
    wait_for(page, Standin.draw(prompt, seed, **way))


def opened(page: Page) -> Page:
    """The page with a prompt, and with the walk in sight."""
    page.get_by_label("Prompt", exact=True).fill("a red house")
    shows(page, "a red house")
    page.get_by_role("button", name="Walk", expanded=False).click()
    expect(page.get_by_label("To prompt")).to_be_visible()
    expect(page.get_by_role("button", name="Walk", expanded=True)).to_be_visible()
    return page


def leads(page: Page, label: str, text: str) -> None:
    """Typed, as by hand: a letter that comes before Gradio listens is in what the next one says."""
    page.get_by_label(label, exact=True).press_sequentially(text)


def exported(page: Page, button: str) -> tuple[str, bytes]:
    with page.expect_download() as caught:
        page.get_by_role("button", name=button).click()
        expect(page.get_by_role("progressbar")).to_be_visible()
        expect(page.get_by_text("of 24 frames")).to_be_visible()
    with open(caught.value.path(), "rb") as file:
        return caught.value.suggested_filename, file.read()


def test_the_slider_paints_while_it_is_moved(visit, home, quick):
    page = visit(home)
    expect(page.get_by_label("To prompt")).to_be_hidden()
    opened(page)
    leads(page, "To prompt", AWAY)
    shows(page, "a red house", to_prompt=AWAY, walk=0.5)
    before = len(quick.made)
    slider = page.locator("#sdxs-walk input[type=range]")
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    for step in range(10):
        page.mouse.move(box["x"] + box["width"] * (5 + step) / 20, box["y"] + box["height"] / 2)
        page.wait_for_timeout(60)
    moved = len(quick.made) - before
    page.mouse.up()
    assert moved > 4
    slider.focus()
    page.keyboard.press("End")
    shows(page, "a red house", to_prompt=AWAY, walk=1)
    page.locator("#sdxs-to-dice").click()
    expect(page.get_by_label("To seed", exact=True)).not_to_have_value("")
    page.get_by_label("To seed", exact=True).fill("7")
    shows(page, "a red house", to_prompt=AWAY, to_seed=7, walk=1)
    page.get_by_label("To prompt").fill("")
    page.get_by_label("To seed", exact=True).fill(" ")
    shows(page, "a red house")


def test_a_walk_that_comes_back_is_seen_from_outside(visit, home):
    page = visit(home)
    page.get_by_label("Prompt", exact=True).fill("a red house")
    shows(page, "a red house")
    part = page.locator("#sdxs-walk-part")
    expect(part).not_to_have_attribute("data-leads", "")
    page.evaluate("sdxs.restore({prompt: 'a cone', to_seed: '7', walk: 0.25})")
    shows(page, "a cone", to_seed=7, walk=0.25)
    expect(part).to_have_attribute("data-leads", "")
    page.get_by_role("button", name="Walk", expanded=False).click()
    expect(page.get_by_label("To seed", exact=True)).to_have_value("7")
    expect(page.get_by_role("button", name="Export WebP")).to_be_enabled()
    page.reload()
    page.locator("#sdxs-picture").wait_for(state="attached")
    shows(page, "a cone", to_seed=7, walk=0.25)


@pytest.mark.parametrize("handheld", [False, True])
def test_a_film_is_saved(visit, home, handheld):
    sides = {"width": 390, "height": 844, **HANDHELD} if handheld else {}
    page = opened(visit(home, **sides))
    export = page.get_by_role("button", name="Export WebP")
    expect(export).to_be_disabled()
    expect(page.get_by_text("Say where to: another prompt")).to_be_visible()
    leads(page, "To prompt", AWAY)
    shows(page, "a red house", to_prompt=AWAY, walk=0.5)
    page.get_by_label("Frames of the film").select_option("24")
    name, file = exported(page, "Export WebP")
    assert name == "walk-a-red-house-0.webp"
    with Image.open(io.BytesIO(file)) as film:
        assert (film.n_frames, film.size, film.info["loop"]) == (24, (128, 128), 1)
    expect(page.get_by_text(f"Saved as {name}")).to_be_visible()
    expect(page.get_by_role("progressbar")).to_be_hidden()
    expect(export).to_be_focused()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_an_mp4_and_back_while_the_page_goes_on(visit, home):
    page = opened(visit(home))
    leads(page, "To seed", "9")
    shows(page, "a red house", to_seed=9, walk=0.5)
    page.get_by_label("Frames of the film").select_option("24")
    page.get_by_label("and back").check()
    name, file = exported(page, "Export MP4")
    with av.open(io.BytesIO(file)) as film:
        assert sum(1 for _ in film.decode(video=0)) == 24
    assert name.endswith(".mp4")


def test_it_can_be_stopped(visit, home, quick):
    page = opened(visit(home))
    leads(page, "To prompt", AWAY)
    shows(page, "a red house", to_prompt=AWAY, walk=0.5)
    page.get_by_label("Frames of the film").select_option("240")
    page.get_by_role("button", name="Export WebP").click()
    page.wait_for_function("document.getElementById('sdxs-film-progress').value > 0")
    page.get_by_label("Prompt", exact=True).fill("a cone")  # it goes in between
    shows(page, "a cone", to_prompt=AWAY, walk=0.5)
    stop = page.get_by_role("button", name="Stop")
    expect(stop).to_be_visible()
    stop.click()
    expect(page.get_by_text("Stopped.")).to_be_visible()
    expect(page.get_by_role("progressbar")).to_be_hidden()
    page.wait_for_timeout(300)
    made = len(quick.made)
    page.wait_for_timeout(500)
    assert len(quick.made) == made


def test_the_canvas_page_has_it(visit, address):
    page = visit(address)
    draw(page, (0.2, 0.2), (0.8, 0.7))
    page.get_by_role("button", name="Walk", expanded=False).click()
    leads(page, "To prompt", AWAY)
    page.get_by_label("Frames of the film").select_option("24")
    expect(page.get_by_role("button", name="Export WebP")).to_be_enabled()
    name, _ = exported(page, "Export WebP")
    assert name.endswith("-0.webp")
