"""What acts on the picture and may be out of sight is said on it, and ended there."""

import pytest
from playwright.sync_api import expect

from tests.browser.canvas import alone
from tests.browser.conftest import HANDHELD, wait_for
from tests.browser.standin import Standin

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 844, **HANDHELD}


@pytest.mark.parametrize("device", [{}, PHONE], ids=["desktop", "phone"])
def test_a_template_is_said_and_ended(visit, address, device):
    page = visit(address, **device)
    ends = page.get_by_role("button", name="End the template: at sea")
    expect(ends).to_have_count(0)
    page.get_by_role("radio", name="at sea").check()
    expect(ends).to_be_visible()
    ends.click()
    expect(page.get_by_role("radio", name="none").first).to_be_checked()
    alone(page)
    expect(ends).to_have_count(0)


def test_a_walk_is_said_and_ended(visit, url):
    page = visit(url)
    page.get_by_label("Prompt", exact=True).fill("a red house")
    page.get_by_role("button", name="Walk", expanded=False).click()
    page.get_by_label("To prompt").fill("a cone")
    page.get_by_role("button", name="Walk", expanded=True).click()
    ends = page.get_by_role("button", name="End the walk: 50 % of the way to “a cone”")
    expect(ends).to_be_visible()
    page.get_by_label("Prompt", exact=True).fill("a ball")
    wait_for(page, Standin.draw("a ball", 0, walk=0.5, to_prompt="a cone"))
    ends.click()
    wait_for(page, Standin.draw("a ball", 0))
    expect(page.get_by_label("To prompt")).to_have_value("")
    expect(ends).to_have_count(0)
