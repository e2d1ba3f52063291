"""The page of styles on the embedded model and the styles that ship, as the app starts it."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from sdxs import SDXS
from sdxs.page.about import FIRST_SEED, About
from sdxs.page.apps import make_page
from sdxs.page.serve import parser
from tests.browser.conftest import served, wait_for

pytestmark = pytest.mark.browser

PROMPT = "a red house and a blue ball"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    options = parser(None).parse_args(["--checkpoint", "storybook"])
    options.safety = False
    yield from served(make_page("anime", options))


@pytest.fixture(scope="module")
def model() -> SDXS:
    return SDXS.load("storybook", styles="all")


def test_every_style_is_worn_as_strongly_as_the_slider_says(visit, address, model):
    page = visit(address)
    first = {"seed": FIRST_SEED, "style": model.styles[0]}
    wait_for(page, model(About.of(model).examples[0], **first))
    page.get_by_label("Prompt").fill(PROMPT)
    wait_for(page, model(PROMPT, **first))
    for style in model.styles:
        page.get_by_label(style, exact=True).check()
        for scale in ("0.5", "0", "1.5", "1"):
            page.locator("#sdxs-style-scale input[type=number]").fill(scale)
            page.keyboard.press("Tab")
            wait_for(page, model(PROMPT, seed=0, style=style, style_scale=float(scale)))
    page.locator("#sdxs-style-scale input[type=range]").press("ArrowRight")
    wait_for(page, model(PROMPT, seed=0, style=style, style_scale=1.05))


def test_with_and_without_beside_each_other(visit, address, model):
    page = visit(address)
    page.get_by_label("Prompt").fill(PROMPT)
    page.get_by_label("Compare").check()
    wait_for(page, model(PROMPT, seed=0, style=model.styles[0]))
    wait_for(page, model(PROMPT, seed=0), "sdxs-plain")
    page.get_by_role("radio", name="none").first.check()
    wait_for(page, model(PROMPT, seed=0))
    expect(page.locator("#sdxs-plain")).to_be_hidden()
