"""The text page in a real browser: what a visitor types, clicks, sees and is told."""

import io
import re
import time
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from sdxs.metadata.reading import read
from sdxs.page.answers import EMPTIED
from sdxs.page.ui import text_page
from sdxs.service.about import About
from tests.browser.conftest import ASKED, HANDHELD, note, source, wait_for
from tests.browser.conftest import PROMPT as WELCOME
from tests.browser.standin import WINDOW, Standin
from tests.programs import served

pytestmark = pytest.mark.browser

PROMPT = "a red house to the left of a green tree!"  # 40 characters
COUNT = """
window.asked = 0;
const fetches = window.fetch;
window.fetch = (url, ...options) => {
  if (String(options[0]?.body).includes("an early bird")) window.asked += 1;
  return fetches(url, ...options);
};
"""
EARLY = """
new MutationObserver((_, observer) => {
  const box = document.querySelector("#sdxs-prompt textarea");
  if (!box) return;
  observer.disconnect();
  setTimeout(() => {
    box.value = "an early bird";
    box.dispatchEvent(new Event("input", { bubbles: true }));
  });
}).observe(document, { childList: true, subtree: true });
"""


def shows(page: Page, prompt: str, seed: int, **chosen: Any) -> None:
    """Wait until the picture on the page is the one of this request, byte for byte."""
    wait_for(page, Standin.draw(prompt, seed, **chosen))


def types(page: Page, text: str) -> None:
    """Type a prompt at once, and wait for its picture."""
    page.get_by_label("Prompt").fill(text)
    shows(page, text, 0)


@pytest.fixture
def page(visit, url) -> Page:
    return visit(url)


def test_fast_typing_ends_in_the_whole_prompt(page, standin):
    before, began = len(standin.made), time.monotonic()
    page.keyboard.type(PROMPT, delay=60)  # the prompt has the focus
    typed = time.monotonic() - began
    shows(page, PROMPT, 0)
    expect(page.get_by_label("Prompt")).to_have_value(PROMPT)
    page.wait_for_timeout(700)  # nothing comes after
    shows(page, PROMPT, 0)
    most = typed / standin.seconds + 2  # one after the other, however slow the machine; not 40
    assert len(standin.made) - before <= most


def test_two_visitors_each_see_their_own(visit, url):
    texts = ("a white boat on the sea", "the black cat in the snow")
    first, second = visit(url), visit(url)
    for one, other in zip(*texts, strict=False):
        first.keyboard.type(one, delay=30)
        second.keyboard.type(other, delay=30)
    second.keyboard.type(texts[1][len(texts[0]) :])
    for page, text in zip((first, second), texts, strict=True):
        shows(page, text, 0)
        theirs = {source(Standin.draw(text[:end], 0)) for end in range(1, len(text) + 1)}
        welcome = source(Standin.draw(WELCOME, 0))
        assert set(page.evaluate("seen")) - {welcome} <= theirs


def test_a_prompt_typed_while_the_page_is_loading_counts(visit, url):
    page = visit(url, script=COUNT + EARLY)
    shows(page, "an early bird", 0)
    page.wait_for_timeout(700)
    assert page.evaluate("asked") == 1  # the page tells its values when it is there, too


def test_the_welcome_picture_the_focus_and_the_dice(page):
    shows(page, WELCOME, 0)
    expect(page.get_by_label("Prompt")).to_be_focused()
    expect(note(page)).to_have_attribute("data-kind", "hint")
    page.locator("#sdxs-dice").click()
    expect(page.get_by_label("Seed")).not_to_have_value("0")
    shows(page, WELCOME, int(page.get_by_label("Seed").input_value()))


def test_seed_stays_while_typing_and_the_dice_change_it(page):
    page.get_by_label("Seed").fill("41")
    page.get_by_label("Prompt").click()
    page.keyboard.type("a ball", delay=20)
    expect(page.get_by_label("Seed")).to_have_value("41")
    shows(page, "a ball", 41)
    page.locator("#sdxs-dice").click()
    expect(page.get_by_label("Seed")).not_to_have_value("41")
    shows(page, "a ball", int(page.get_by_label("Seed").input_value()))


def test_seed_and_style_act_before_anything_is_typed(visit, url):
    page = visit(url)
    page.get_by_label("ink").check()
    shows(page, WELCOME, 0, style="ink")
    page.get_by_label("Seed").fill("")
    expect(note(page)).to_have_attribute("data-kind", "error")
    page.get_by_label("Seed").fill("0")
    expect(note(page)).to_be_empty()
    page.get_by_label("Seed").fill("1")
    page.get_by_label("Seed").fill("12")
    page.get_by_label("Seed").fill("1")  # while 12 is in the making
    page.wait_for_timeout(1500)
    shows(page, WELCOME, 1, style="ink")


def test_examples_and_words_may_hold_any_characters(visit, standin):
    odd = 'a "sign" \\ with `${1}` {{x}} <b>'
    about = About(checkpoint="standin", examples=(odd,), words={"odd": (odd,)})
    with served(text_page(standin, about=about, welcome=standin.draw(odd, 0))) as address:
        page = visit(address)
        expect(page.locator("#sdxs-picture")).to_have_attribute("alt", f"{odd} (seed 0)")
        page.locator("#sdxs-examples button").click()
        expect(page.get_by_label("Prompt")).to_have_value(odd)
        page.locator("#sdxs-words button").click()
        shows(page, f"{odd} {odd}", 0)


def test_deleting_and_pasting_count_as_typing(page):
    page.keyboard.type("a cat", delay=20)
    shows(page, "a cat", 0)
    page.keyboard.press("Backspace")
    shows(page, "a ca", 0)
    page.keyboard.insert_text("mel")  # as a paste or a phone's keyboard does: no key is pressed
    shows(page, "a camel", 0)


def test_examples_and_words_can_be_clicked(page):
    page.get_by_role("button", name="a blue ball").click()
    expect(page.get_by_label("Prompt")).to_have_value("a blue ball")
    shows(page, "a blue ball", 0)
    page.get_by_role("button", name="red", exact=True).click()
    expect(page.get_by_label("Prompt")).to_have_value("a blue ball red")
    page.get_by_role("button", name="house", exact=True).click()
    shows(page, "a blue ball red house", 0)
    page.get_by_role("button", name="house", exact=True).click()  # the same one once more
    shows(page, "a blue ball red house house", 0)


def test_a_style_is_worn_as_strongly_as_set_and_laid_aside(page):
    types(page, "a cone")
    for style in ("anime", "ink"):
        page.get_by_label(style).check()
        shows(page, "a cone", 0, style=style)
    for scale in ("0.5", "0", "1.25"):
        page.locator("#sdxs-style-scale input[type=number]").fill(scale)
        page.keyboard.press("Tab")
        shows(page, "a cone", 0, style="ink", style_scale=float(scale))
    page.get_by_role("radio", name="none").first.check()
    shows(page, "a cone", 0)


def test_with_and_without_a_style_side_by_side(page):
    plain, divider = page.locator("#sdxs-plain"), page.locator("#sdxs-divider")
    page.get_by_label("Prompt").fill("a cone")
    page.get_by_label("Compare").check()
    shows(page, "a cone", 0)
    expect(plain).to_be_hidden()  # there is no style to leave out
    page.get_by_label("anime").check()
    shows(page, "a cone", 0, style="anime")
    expect(plain).to_be_visible()
    wait_for(page, Standin.draw("a cone", 0), "sdxs-plain")
    frame = page.locator(".sdxs-frame").bounding_box()
    page.mouse.click(frame["x"] + 0.25 * frame["width"], frame["y"] + 0.5 * frame["height"])
    assert 20 <= int(divider.input_value()) <= 30
    shown = plain.evaluate("element => getComputedStyle(element).clipPath")
    assert re.search(r"7[0-9](\.\d+)?%", shown), shown
    divider.focus()
    before = int(divider.input_value())
    page.keyboard.press("ArrowRight")
    assert int(divider.input_value()) == before + 1
    page.get_by_label("Compare").uncheck()
    expect(plain).to_be_hidden()


def test_one_decoder_is_no_choice(visit, standin):
    with served(text_page(standin)) as address:
        page = visit(address)
        types(page, "a cone")
        expect(page.locator("#sdxs-decoder")).to_have_count(0)


def test_a_bad_seed_is_explained_and_the_page_goes_on(page):
    types(page, "a star")
    why = "Seed must be a whole number from 0 to 9223372036854775807, not"
    last = 0
    for seed in ("-3", "9223372036854775808", "seven", "1.5", ""):
        page.get_by_label("Seed").fill(seed)
        expect(note(page)).to_contain_text(why)
        expect(note(page)).to_have_attribute("data-kind", "error")
        shows(page, "a star", last)  # the last picture is kept
        last = 2**63 - 1 - last % 2  # the largest, and the one below it
        page.get_by_label("Seed").fill(str(last))
        shows(page, "a star", last)
        expect(note(page)).to_be_empty()


def test_a_blank_prompt_is_a_hint_and_keeps_the_picture(page):
    types(page, "a star")
    for blank in ("", "   ", "\n\t"):
        page.get_by_label("Prompt").fill(blank)
        expect(note(page)).to_have_text(EMPTIED)
        expect(note(page)).to_have_attribute("data-kind", "hint")
        shows(page, "a star", 0)
        types(page, "a star")


def test_nothing_dangles_in_the_footer(page):
    footer = page.locator("footer")
    assert "Use via API" in footer.inner_text() and "·" not in footer.inner_text()


def test_a_crash_is_one_quiet_line(page, caplog):
    page.get_by_label("Prompt").fill("boom")
    expect(note(page)).to_have_attribute("data-kind", "error")
    assert "secret" not in page.content() and "Traceback" not in page.content()
    assert "a secret of the server" in caplog.text  # but the log has it
    types(page, "a star")


def test_what_the_model_did_not_see_is_named(page):
    text = "a" * WINDOW + " purple giraffe"
    types(page, text)
    expect(note(page)).to_contain_text("purple giraffe")
    expect(note(page)).to_have_attribute("data-kind", "warning")


TEXTS = (
    "x" * 100_000,
    "🦊🏠👩‍👩‍👧",
    "\x01\x02\x7f bell \x07",
    "<b>&amp;</b> {{value}} ${1}",
    "ปลา 房子 بيت",
)


def test_any_text_is_only_text(page):
    for text in TEXTS:
        types(page, text)
        types(page, "a star")


def test_the_download_is_a_png_that_says_how_it_was_made(page):
    types(page, "une fée à la mer 🦊")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert re.fullmatch(r"[a-z0-9-]+-0\.png", download.value.suggested_filename)
    picture = Image.open(io.BytesIO(download.value.path().read_bytes()))
    assert picture.format == "PNG"
    said = read(download.value.path(), "it").parameters
    assert said.prompt == "une fée à la mer 🦊"
    assert said.settings["Seed"] == "0" and said.settings["Model"] == "standin"
    assert picture.tobytes() == Standin.draw("une fée à la mer 🦊", 0).tobytes()


@pytest.mark.parametrize("lost", [True, False])
def test_the_last_key_survives_a_request_that_is_lost_or_never_answered(visit, url, lost):
    """As when a telephone changes its network; two minutes pass in half a second."""
    hasty = """
    const own = window.setTimeout;
    window.setTimeout = (act, ms, ...more) => own(act, ms === 120000 ? 500 : ms, ...more);
    """
    page = visit(url, script="" if lost else hasty)
    visit.expected += ("ERR_FAILED", "Failed to fetch") if lost else ()
    page.route(f"**{ASKED}", lambda route: route.abort() if lost else None)
    page.get_by_label("Prompt").fill("a heart")
    expect(note(page)).to_contain_text("does not answer")
    page.unroute(f"**{ASKED}")
    shows(page, "a heart", 0)


def test_the_page_fits_a_phone(visit, url):
    page = visit(url, width=390, height=844, **HANDHELD)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = page.locator("#sdxs-picture").bounding_box()
    assert box["width"] > 300 and box["y"] + box["height"] < 844
