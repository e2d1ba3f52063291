"""Words of the prompt that the model does not know: marked under it, with near ones to click."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from sdxs.page.ui import text_page
from sdxs.service.about import About
from sdxs.storybook.world.kin import fillers, near
from sdxs.storybook.world.words import phrases
from tests.browser.conftest import HANDHELD, wait_for
from tests.browser.standin import Standin
from tests.programs import served

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def listed() -> Iterator[str]:
    about = About(checkpoint="standin", words=phrases(), fillers=fillers(), near=near())
    with served(text_page(Standin(0.01), about=about)) as address:
        yield address


def line(page: Page) -> Locator:
    return page.locator("#sdxs-unknown")


def heard(page: Page) -> Locator:
    return page.locator("#sdxs-unknown-heard")


def test_unknown_words_are_marked_and_replaced_by_a_click(visit, listed):
    page = visit(listed)
    prompt = page.get_by_label("Prompt")
    before = page.locator("#sdxs-picture").bounding_box()
    page.keyboard.type("a crimson owl by ")
    expect(line(page)).to_have_text("crimson?redowl?ballstarmushroom…by?besideat")
    expect(heard(page)).to_have_text("Not known: crimson, owl, by.")
    assert page.locator("#sdxs-picture").bounding_box() == before
    page.get_by_role("button", name="red instead of crimson").click()
    expect(prompt).to_have_value("a red owl by ")
    page.get_by_role("button", name="star instead of owl").click()
    page.get_by_role("button", name="beside instead of by").press("Enter")
    expect(prompt).to_have_value("a red star beside ")
    expect(line(page)).to_be_empty()
    expect(heard(page)).to_be_empty()
    expect(line(page)).to_be_focused()  # the way of the keyboard goes on from here
    wait_for(page, Standin.draw("a red star beside ", 0))


def test_the_word_that_is_being_written_is_left_alone_until_the_hand_rests(visit, listed):
    page = visit(listed, script="window.marked = []")
    line(page).evaluate("""line => new MutationObserver(() => marked.push(line.textContent))
        .observe(line, {childList: true})""")
    page.keyboard.type("a red skateboard", delay=20)
    expect(line(page)).to_contain_text("skateboard?")
    assert all(text.startswith("skateboard?") for text in page.evaluate("marked"))


def test_the_line_is_one_line_on_a_phone_and_is_not_there_for_any_words(visit, listed):
    page = visit(listed, width=360, height=640, **HANDHELD)
    page.get_by_label("Prompt").fill("ball")
    expect(page.locator("#sdxs-note")).to_be_empty()
    before = page.locator("#sdxs-picture").bounding_box()
    page.get_by_label("Prompt").fill("cat dog owl cow")
    expect(line(page)).to_contain_text("cow?")
    assert page.locator("#sdxs-picture").bounding_box() == before
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    with served(text_page(Standin(0.01))) as address:
        expect(line(visit(address))).to_have_count(0)
