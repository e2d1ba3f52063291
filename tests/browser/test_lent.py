"""A page whose pictures cost their visitor something: none comes that was not ordered."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from sdxs.page.ui import text_page
from sdxs.service.about import About
from tests.browser.conftest import PROMPT, note, wait_for
from tests.browser.standin import Standin
from tests.programs import served

pytestmark = pytest.mark.browser

HELD = "Press Enter, or Paint, for the picture."


@pytest.fixture(scope="module")
def painter() -> Standin:
    return Standin(0.02)


@pytest.fixture(scope="module")
def address(painter: Standin) -> Iterator[str]:
    about = About(examples=(PROMPT,), decoders=("tiny", "large"), size=(128, 128), lent=True)
    page = text_page(painter, about=about, welcome=painter.draw(PROMPT, 0), together=8)
    with served(page) as url:
        yield url


def test_a_picture_comes_when_it_is_ordered(visit, address: str, painter: Standin) -> None:
    page: Page = visit(address)
    prompt, button = page.get_by_label("Prompt"), page.get_by_role("button", name="Paint")
    each = page.get_by_label("Paint at every change")
    expect(button).to_be_disabled()
    expect(each).not_to_be_checked()

    prompt.press_sequentially("a red", delay=20)
    expect(note(page)).to_have_text(HELD)
    prompt.press_sequentially(" house")
    prompt.press("Enter")
    wait_for(page, Standin.draw("a red house", 0))
    expect(button).to_be_disabled()
    expect(note(page)).not_to_have_text(HELD)

    page.get_by_label("Seed", exact=True).fill("7")
    expect(button).to_be_enabled()
    page.wait_for_timeout(1600)  # a final picture and a strip of seeds would have come by now
    assert painter.made == ["a red house"] and not painter.batches
    button.click()
    wait_for(page, Standin.draw("a red house", 7))
    assert painter.made == ["a red house"] * 2

    prompt.fill("a blue ball")
    expect(note(page)).to_have_text(HELD)
    each.check()  # which paints what was held
    wait_for(page, Standin.draw("a blue ball", 7, decoder="large"))
    prompt.fill("a cone")
    wait_for(page, Standin.draw("a cone", 7, decoder="large"))

    each.uncheck()
    made = len(painter.made)
    prompt.fill("a tree")
    expect(note(page)).to_have_text(HELD)
    page.wait_for_timeout(500)
    assert len(painter.made) == made
