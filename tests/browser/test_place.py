"""How many pictures go before one's own: shown to those who wait, and to nobody else."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from sdxs.page.ui import text_page
from sdxs.service.about import About
from tests.browser.conftest import wait_for
from tests.browser.standin import Standin
from tests.programs import served

pytestmark = pytest.mark.browser


class Held(Standin):
    """Waits in each picture until it is let go."""

    def __init__(self) -> None:
        super().__init__(0)
        self.go = threading.Event()

    def __call__(self, prompt: Any, **chosen: Any) -> Any:
        assert self.go.wait(60)
        return super().__call__(prompt, **chosen)


@pytest.fixture
def held() -> Iterator[tuple[Held, Any, str]]:
    """What paints, whose turn it is, and where."""
    held = Held()
    page = text_page(held, about=About(checkpoint="standin", size=(128, 128)))
    with served(page) as url:
        yield held, page._answers._turns, url
        held.go.set()


HEARD = """
window.heard = [];
new MutationObserver(() => heard.push(document.getElementById("sdxs-heard").textContent))
  .observe(document.getElementById("sdxs-heard"), { childList: true });
"""


def test_the_place_is_shown_to_who_waits(visit, held):
    generate, turns, url = held
    first, second, third = (visit(url) for _ in range(3))
    third.evaluate(HEARD)
    box = third.locator("#sdxs-took").bounding_box()
    for number, page in enumerate((first, second, third)):
        page.get_by_label("Prompt").fill("abc"[number])
        while len(turns._working) + len(turns._present()) <= number:
            page.wait_for_timeout(10)
    place = third.locator("#sdxs-place")
    expect(place).to_have_text("2 pictures before yours")
    expect(place).to_be_visible()
    expect(second.locator("#sdxs-place")).to_have_text("1 picture before yours")
    expect(first.locator("#sdxs-place")).not_to_contain_text("before")
    third.wait_for_timeout(2500)  # it is asked again, and read out once
    assert third.evaluate("heard") == ["2 pictures before yours"]
    assert third.locator("#sdxs-took").bounding_box() == box
    generate.go.set()
    wait_for(third, Standin.draw("c", 0))
    expect(place).to_be_hidden()


def test_who_does_not_wait_sees_nothing(visit, held):
    generate, _, url = held
    generate.go.set()
    page = visit(url)
    asked = []
    page.on("request", lambda request: asked.append(request.post_data or ""))
    page.get_by_label("Prompt").fill("a")
    wait_for(page, Standin.draw("a", 0))
    page.wait_for_timeout(1500)
    assert not [body for body in asked if '"place"' in body]


def test_a_picture_that_takes_long_is_said_to(visit, held):
    generate, _, url = held
    page = visit(url)
    page.get_by_label("Prompt").fill("a")
    expect(page.locator("#sdxs-place")).to_contain_text("Still painting")
    generate.go.set()
    wait_for(page, Standin.draw("a", 0))
    expect(page.locator("#sdxs-place")).to_be_hidden()
