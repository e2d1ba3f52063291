"""What is still there after a reload of the tab."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.canvas import draw, follows
from tests.browser.conftest import HANDHELD, PROMPT, note, wait_for
from tests.browser.standin import Standin

pytestmark = pytest.mark.browser


def again(page: Page) -> None:
    page.reload()
    page.get_by_label("Prompt").wait_for()


def shows(page: Page, prompt: str, seed: int, **chosen: Any) -> None:
    wait_for(page, Standin.draw(prompt, seed, **chosen))


def test_prompt_seed_and_what_was_chosen_survive_a_reload(visit, url):
    page = visit(url)
    page.get_by_label("Prompt").fill("a cone")
    page.get_by_label("Seed").fill("41")
    page.get_by_label("ink").check()
    shows(page, "a cone", 41, style="ink")
    again(page)
    expect(page.get_by_label("Prompt")).to_have_value("a cone")
    expect(page.get_by_label("Seed")).to_have_value("41")
    expect(page.get_by_label("ink")).to_be_checked()
    shows(page, "a cone", 41, style="ink")
    page.get_by_label("Prompt").fill("")
    page.get_by_label("Seed").fill("0")
    page.get_by_label("none").first.check()
    again(page)
    expect(page.get_by_label("Seed")).to_have_value("0")
    expect(page.get_by_label("Prompt")).to_have_value("")


def test_a_seed_alone_survives_with_the_welcome_picture(visit, url):
    page = visit(url)
    page.get_by_label("Seed").fill("41")
    shows(page, PROMPT, 41)
    again(page)
    expect(page.get_by_label("Seed")).to_have_value("41")
    shows(page, PROMPT, 41)


def test_another_tab_begins_anew(visit, url):
    page = visit(url)
    page.get_by_label("Prompt").fill("a cone")
    shows(page, "a cone", 0)
    other = page.context.new_page()
    other.goto(url)
    expect(other.get_by_label("Prompt")).to_have_value("")


def test_the_canvas_page_remembers_too(visit, address):
    page = visit(address, width=390, height=844, **HANDHELD)
    page.get_by_label("Prompt").fill("a cone")
    page.get_by_label("Seed").fill("7")
    page.get_by_label("edges of a photo").check()
    draw(page, (0.2, 0.2), (0.8, 0.7), by="touch")
    follows(page, prompt="a cone", seed=7, way="canny")
    again(page)
    draw(page, (0.2, 0.2), (0.8, 0.7), by="touch")
    follows(page, prompt="a cone", seed=7, way="canny")
    expect(page.get_by_label("Prompt")).to_have_value("a cone")


def test_storage_that_a_browser_forbids_is_done_without(visit, url):
    forbids = """
    Object.defineProperty(window, "sessionStorage", {
      get() { throw new DOMException("denied", "SecurityError"); }
    });
    """
    page = visit(url, script=forbids)
    page.get_by_label("Prompt").fill("a cone")
    shows(page, "a cone", 0)
    again(page)
    page.get_by_label("Prompt").fill("a ball")
    shows(page, "a ball", 0)
    expect(note(page)).to_be_empty()
