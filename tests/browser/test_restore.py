"""A request that comes back, whole, wherever it was kept."""

import pytest
from playwright.sync_api import expect

from tests.browser.canvas import DRAWN, draw, follows
from tests.browser.conftest import wait_for
from tests.browser.standin import Standin

pytestmark = pytest.mark.browser

LOG = """
window.stirred = 0;
document.addEventListener("sdxs:stirred", () => (window.stirred += 1));
"""


def test_a_request_comes_back_and_is_asked_once(visit, url):
    page = visit(url, script=LOG)
    page.get_by_label("Prompt").fill("a cube")
    wait_for(page, Standin.draw("a cube", 0))
    before = page.evaluate("stirred")
    page.evaluate("sdxs.restore({prompt: 'a cone', seed: '5', style: 'ink', style_scale: 0.5})")
    wait_for(page, Standin.draw("a cone", 5, style="ink", style_scale=0.5))
    expect(page.get_by_label("Prompt")).to_have_value("a cone")
    expect(page.get_by_label("Seed")).to_have_value("5")
    expect(page.get_by_label("ink")).to_be_checked()
    assert page.evaluate("stirred") == before + 1
    page.evaluate("sdxs.restore({prompt: 'a cube'})")
    wait_for(page, Standin.draw("a cube", 0))
    expect(page.get_by_label("ink")).not_to_be_checked()
    page.get_by_label("Prompt").fill("a cube!")
    wait_for(page, Standin.draw("a cube!", 0))


def test_a_known_answer_is_shown_without_asking(visit, url, standin):
    page = visit(url)
    page.get_by_label("Prompt").fill("a cube")
    wait_for(page, Standin.draw("a cube", 0))
    page.evaluate("document.addEventListener('sdxs:shown', ({detail}) => window.last = detail)")
    page.get_by_label("Prompt").fill("a cone")
    wait_for(page, Standin.draw("a cone", 0))
    kept = page.evaluate("last")
    page.get_by_label("Prompt").fill("a ball")
    wait_for(page, Standin.draw("a ball", 0))
    made = len(standin.made)
    page.evaluate("kept => sdxs.restore(kept.request, kept.answer)", kept)
    wait_for(page, Standin.draw("a cone", 0))
    expect(page.get_by_label("Prompt")).to_have_value("a cone")
    page.wait_for_timeout(1000)
    assert len(standin.made) == made


def test_a_drawing_comes_back_pixel_for_pixel(visit, address):
    page = visit(address)
    page.get_by_label("Prompt").fill("a cone")
    page.evaluate("document.addEventListener('sdxs:shown', ({detail}) => window.last = detail)")
    draw(page, (0.2, 0.2), (0.8, 0.7))
    follows(page, prompt="a cone", seed=0, way="sketch")
    kept = page.evaluate("last.request")
    page.get_by_label("Clear").click()
    draw(page, (0.9, 0.2), (0.1, 0.7))
    follows(page, prompt="a cone", seed=0, way="sketch")
    page.evaluate("kept => sdxs.restore(kept)", kept)
    page.wait_for_function("kept => last.request.drawing === kept.drawing", arg=kept)
    follows(page, prompt="a cone", seed=0, way="sketch")
    assert page.evaluate("sdxs.shown") == kept


def test_a_frame_that_was_saved_leads_back(visit, url):
    page = visit(url)
    page.get_by_label("Seed").fill("5")
    page.get_by_label("ink").check()
    page.get_by_label("Prompt").fill("a cube, 🦊")
    wait_for(page, Standin.draw("a cube, 🦊", 5, style="ink"))
    saved = page.locator("#sdxs-picture").get_attribute("src")  # as a browser saves it
    page.get_by_label("Prompt").fill("a cone")
    page.get_by_role("radio", name="none").first.check()
    wait_for(page, Standin.draw("a cone", 5))
    answer = page.evaluate("file => sdxs.server.read({file, name: 'a.jpg'})", saved)
    assert answer["note"] == "" and answer["request"]["style"] == "ink"
    page.evaluate("request => sdxs.restore(request)", answer["request"])
    wait_for(page, Standin.draw("a cube, 🦊", 5, style="ink"))
    expect(page.get_by_label("Prompt")).to_have_value("a cube, 🦊")


def test_a_downloaded_file_brings_its_drawing(visit, address):
    page = visit(address)
    draw(page, (0.2, 0.2), (0.8, 0.7))
    follows(page)
    before = page.evaluate(DRAWN)
    file = page.evaluate("sdxs.server.download(sdxs.shown).then((answer) => answer.file)")
    page.get_by_role("button", name="Clear").click()
    request = page.evaluate("file => sdxs.server.read({file, name: 'a.png'})", file)["request"]
    page.evaluate("request => sdxs.restore(request)", request)
    follows(page)
    assert page.evaluate(DRAWN) == before
