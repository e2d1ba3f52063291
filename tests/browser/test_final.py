"""Draft and final: the tiny decoder while something moves, the large one for a hand that rests."""

import io

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from sdxs.metadata import reading
from sdxs.page.ui import text_page
from sdxs.service.about import About
from tests.browser.conftest import PROMPT, source, wait_for
from tests.browser.standin import Standin
from tests.programs import served

pytestmark = pytest.mark.browser

LOG = """
window.told = [];
document.addEventListener("sdxs:shown", ({ detail }) => window.told.push(detail));
"""


def shows(page: Page, prompt: str, decoder: str) -> None:
    wait_for(page, Standin.draw(prompt, 0, decoder=decoder))


@pytest.fixture
def page(visit, both) -> Page:
    return visit(both, script=LOG)


def test_the_draft_is_followed_by_the_final_picture_of_the_same_request(page):
    page.get_by_label("Prompt").press_sequentially("a cone", delay=30)
    shows(page, "a cone", "large")
    page.wait_for_timeout(900)
    seen = page.evaluate("seen")
    assert seen[-2:] == [source(Standin.draw("a cone", 0, decoder=d)) for d in ("tiny", "large")]
    large = source(Standin.draw("a c", 0, decoder="large"))
    assert large not in seen  # while typing there are drafts alone
    draft, final = page.evaluate("told.slice(-2).map(({request}) => request)")
    assert final == {**draft, "final": True} and draft["decoder"] == ""
    assert page.evaluate("told.filter(({request}) => request.final).length") == 1
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    file = download.value.path().read_bytes()
    assert reading.read(file, "it").parameters.settings["Decoder"] == "large"
    picture = Image.open(io.BytesIO(file))
    assert picture.tobytes() == Standin.draw("a cone", 0, decoder="large").tobytes()


def test_a_chosen_decoder_has_no_draft(page):
    for decoder in ("large", "tiny"):
        page.get_by_label(decoder, exact=True).check()
        page.get_by_label("Prompt").fill(f"a cube {decoder}")
        shows(page, f"a cube {decoder}", decoder)
        page.wait_for_timeout(1000)
        shows(page, f"a cube {decoder}", decoder)
    assert not page.evaluate("told.some(({request}) => request.final)")
    page.get_by_label("tiny, large when you rest").check()
    shows(page, "a cube tiny", "large")


def test_a_picture_that_comes_back_does_not_leave_the_drafts(page):
    page.get_by_label("Prompt").fill("a cone")
    shows(page, "a cone", "large")
    kept = page.evaluate("told.at(-1)")
    page.get_by_label("Prompt").fill("a ball")
    shows(page, "a ball", "large")
    page.evaluate("kept => sdxs.restore(kept.request, kept.answer)", kept)
    shows(page, "a cone", "large")
    expect(page.get_by_label("tiny, large when you rest")).to_be_checked()
    page.get_by_label("Prompt").fill("a cone!")
    shows(page, "a cone!", "tiny")


class Thorough(Standin):
    """The large decoder takes its time."""

    def __call__(self, prompt, *, seed, **chosen):
        self.seconds = 1.5 if chosen.get("decoder") == "large" else 0.02
        return super().__call__(prompt, seed=seed, **chosen)


def test_typing_during_the_final_picture_ends_it(visit):
    thorough = Thorough()
    about = About(examples=(PROMPT,), decoders=("tiny", "large"))
    with served(text_page(thorough, about=about)) as address:
        page = visit(address, script=LOG)
        with page.expect_request(lambda r: '"final":true' in (r.post_data or "")):
            page.get_by_label("Prompt").fill("a cone")
        page.get_by_label("Prompt").fill("a ball")
        shows(page, "a ball", "tiny")
        shows(page, "a ball", "large")
        told = page.evaluate("told.map(({request}) => [request.prompt, request.final ?? false])")
        assert told == [["a cone", False], ["a ball", False], ["a ball", True]]


def test_one_decoder_is_drawn_once(visit, url, standin):
    page = visit(url)
    expect(page.locator("#sdxs-decoder")).to_have_count(0)
    before = len(standin.made)
    page.get_by_label("Prompt").fill("a star")
    wait_for(page, Standin.draw("a star", 0))
    page.wait_for_timeout(1200)
    assert len(standin.made) == before + 1
