"""Links that hold all that made a picture."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.canvas import draw, drawing, follows, picture_of
from tests.browser.conftest import HANDHELD, PROMPT, note, wait_for
from tests.browser.standin import Follower, Standin
from tests.browser.test_canvas_pictures import give, png

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 844, **HANDHELD}
DEVICES = pytest.mark.parametrize("device", [{}, PHONE], ids=["desktop", "phone"])
ALLOWED = {"permissions": ["clipboard-read", "clipboard-write"]}


def copied(page: Page, said: str = "The link is copied.") -> str:
    page.get_by_role("button", name="Copy link").click()
    expect(note(page)).to_have_text(said)
    return str(page.evaluate("navigator.clipboard.readText()"))


def shows(page: Page, prompt: str, seed: int, **chosen) -> None:
    wait_for(page, Standin.draw(prompt, seed, **chosen))
    expect(page.get_by_label("Prompt")).to_have_value(prompt)
    expect(page.get_by_label("Seed")).to_have_value(str(seed))


@DEVICES
def test_a_link_brings_another_visitor_the_same_picture(visit, url, device):
    page = visit(url + "?__theme=dark", **device, **ALLOWED)
    prompt = "a house & a tree, 50% #1 🏠"
    page.get_by_label("Prompt").fill(prompt)
    page.get_by_label("Seed").fill(str(2**63 - 1))
    page.get_by_role("radio", name="ink").check()
    shows(page, prompt, 2**63 - 1, style="ink")
    link = copied(page)
    told = parse_qs(urlsplit(link).fragment)
    assert told == {
        "prompt": [prompt], "seed": [str(2**63 - 1)], "style": ["ink"],
        "checkpoint": ["standin"],
    }  # fmt: skip
    other = visit(link, **device)
    shows(other, prompt, 2**63 - 1, style="ink")
    expect(other.get_by_role("radio", name="ink")).to_be_checked()
    assert other.url == url + "?__theme=dark"
    expect(note(other)).to_be_empty()
    other.get_by_label("Prompt").fill("a cone")
    wait_for(other, Standin.draw("a cone", 2**63 - 1, style="ink"))
    other.reload()  # does not undo what came later
    shows(other, "a cone", 2**63 - 1, style="ink")


def test_the_welcome_picture_has_a_link_too(visit, url):
    page = visit(url, **ALLOWED)
    other = visit(copied(page))
    shows(other, PROMPT, 0)


@DEVICES
def test_a_drawing_goes_along_pixel_for_pixel(visit, address, device):
    page = visit(address, **device, **ALLOWED)
    page.get_by_label("Prompt").fill("a cone")
    draw(page, (0.2, 0.2), (0.8, 0.7), (0.5, 0.9), (0.3, 0.1))
    page.get_by_label("edges of a photo").check()
    follows(page, prompt="a cone", way="canny")
    page.wait_for_timeout(300)
    link = copied(page)
    assert len(link) < 8000
    other = visit(link, **device)
    wait_for(
        other, Follower.follow("a cone", 0, "canny", Follower.condition("canny", drawing(page)))
    )
    assert drawing(other).tobytes() == drawing(page).tobytes()
    followed = [tab.locator("#sdxs-control").get_attribute("src") or "" for tab in (page, other)]
    assert picture_of(followed[0]).tobytes() == picture_of(followed[1]).tobytes()
    expect(note(other)).to_be_empty()


def test_a_photo_stays_at_home(visit, address):
    page = visit(address, **ALLOWED)
    page.get_by_label("Prompt").fill("a cone")
    give(page, "drop", "a.png", "image/png", png())
    expect(page.locator("#sdxs-control")).to_be_visible()
    link = copied(page, "The link is copied. It holds all but the photo.")
    assert "drawing" not in link and len(link) < 200
    wait_for(visit(link), Follower.follow("a cone", 0))


def test_a_link_that_is_opened_in_the_same_tab(visit, url):
    page = visit(url)
    page.get_by_label("Prompt").fill("a cone")
    shows(page, "a cone", 0)
    page.evaluate("location.hash = 'prompt=a+ball&seed=7&style=anime'")
    shows(page, "a ball", 7, style="anime")
    assert "#" not in page.url
    page.evaluate("location.hash = 'sdxs-head'")  # of somebody else
    assert page.url.endswith("#sdxs-head")
    shows(page, "a ball", 7, style="anime")


def test_what_a_link_says_counts_more_than_what_the_tab_had_kept(visit, url):
    page = visit(url)
    page.get_by_label("Prompt").fill("a cone")
    page.get_by_label("Seed").fill("5")
    shows(page, "a cone", 5)
    page.wait_for_timeout(900)
    page.evaluate("history.replaceState(null, '', '#prompt=a+ball')")
    page.reload()
    page.get_by_label("Prompt").wait_for()
    shows(page, "a ball", 0)


@pytest.mark.parametrize(
    ("fragment", "said"),
    [
        ("checkpoint=someone%2Felse", "This link was made with someone/else; here standin paints."),
        ("checkpoint=standin", ""),
        ("style=cubism&foo=1", "Not known here and left out of the link: style, foo."),
        ("drawing=8x8.AAAA", "Not known here and left out of the link: drawing."),
        (f"{'x' * 500}=1", f"Not known here and left out of the link: {'x' * 59}…."),
    ],
)
def test_what_is_not_known_here_is_left_out_in_one_line(visit, url, fragment, said):
    page = visit(f"{url}#prompt=a+ball&{fragment}")
    shows(page, "a ball", 0)
    expect(note(page)).to_have_text(said)


@pytest.mark.parametrize("fragment", ["&&==%zz", "prompt=" + "x" * 1_100_000, "__proto__=1"])
def test_a_hostile_fragment_does_nothing(visit, url, fragment):
    page = visit(f"{url}#{fragment}")
    page.get_by_label("Prompt").fill("a cone")
    shows(page, "a cone", 0)


def test_a_hostile_drawing_does_nothing(visit, address):
    for text in ("9999x9999.AAAA", "512x512." + "_-" * 100_000):
        page = visit(f"{address}#prompt=a+cone&drawing={text}")
        wait_for(page, Follower.follow("a cone", 0))
        expect(note(page)).to_have_text(re.compile("left out of the link: drawing"))


@pytest.mark.parametrize(
    "script",
    [
        "navigator.clipboard.writeText = () => Promise.reject(new DOMException('', 'NotAllowed'));",
        "Object.defineProperty(navigator, 'clipboard', { value: undefined });",
    ],
    ids=["forbidden", "http"],
)
@DEVICES
def test_a_link_that_cannot_be_copied_is_shown(visit, url, device, script):
    page = visit(url, script=script, **device)
    page.get_by_role("button", name="Copy link").click()
    expect(note(page)).to_have_text("This page may not copy; here is the link.")
    field = page.get_by_label("Address to copy")
    expect(field).to_be_focused()
    link = field.input_value()
    assert page.evaluate("getSelection().toString()") in (link, "")
    assert field.evaluate("field => field.selectionEnd - field.selectionStart") == len(link)
    shows(visit(link, **device), PROMPT, 0)
    field.press("Escape")
    expect(field).to_be_hidden()
