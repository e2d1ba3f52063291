"""The text page on real models: the picture on the page is the model's own, byte for byte."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from sdxs import SDXS
from sdxs.page.about import FIRST_SEED, About, welcome_picture
from sdxs.page.ui import text_page
from tests.browser.conftest import served, wait_for

pytestmark = pytest.mark.browser

PROMPT = "a red house and a blue ball"


@pytest.fixture(scope="module", params=["tiny", "storybook"])
def model(request, tiny_checkpoint) -> SDXS:
    return SDXS.load(tiny_checkpoint if request.param == "tiny" else "storybook")


@pytest.fixture(scope="module")
def address(model) -> Iterator[str]:
    about = About.of(model)
    yield from served(text_page(model, about=about, welcome=welcome_picture(model, about)))


def test_the_last_picture_is_the_models(visit, address, model):
    page = visit(address)
    wait_for(page, model(About.of(model).examples[0], seed=FIRST_SEED))
    page.keyboard.type(PROMPT, delay=40)
    wait_for(page, model(PROMPT, seed=0))
    page.locator("#sdxs-dice").click()
    seed = page.get_by_label("Seed")
    expect(seed).not_to_have_value("0")
    wait_for(page, model(PROMPT, seed=int(seed.input_value())))
    if len(model.decoders) > 1:
        page.get_by_label("large").check()
        wait_for(page, model(PROMPT, seed=int(seed.input_value()), decoder="large"))


def test_the_page_says_which_model_it_is_and_what_was_cut_off(visit, address, model):
    page = visit(address)
    about = page.locator("#sdxs-about")
    for fact in (model.checkpoint, str(model.device), str(model.dtype)[6:], model.source.reason):
        shown = About.of(model).title if fact == model.checkpoint else fact
        expect(about).to_contain_text(shown)
    page.get_by_label("Prompt").fill("red " * 100 + "unicorn")
    expect(page.locator("#sdxs-note")).to_have_attribute("data-kind", "warning")
    page.get_by_label("Prompt").fill("\x00\x07 🦊 " + "x" * 100_000)
    expect(page.locator("#sdxs-picture")).to_have_attribute("alt", "\x00\x07 🦊 " + "x" * 100_000)
