"""The pages on real models: the picture on the page is the model's own, byte for byte."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from sdxs import SDXS
from sdxs.page.apps import make_page
from sdxs.page.ui import sketch_page, text_page
from sdxs.server.start import parser
from sdxs.service.about import FIRST_SEED, About, welcome_picture
from tests.browser.canvas import DRAWN, draw, picture_of
from tests.browser.conftest import HANDHELD, wait_for
from tests.programs import served

pytestmark = pytest.mark.browser

PROMPT = "a red house and a blue ball"
POINTS, MS = 50, 3000


@pytest.fixture(scope="module", params=["tiny", "storybook"])
def model(request, tiny_checkpoint) -> SDXS:
    return SDXS.load(tiny_checkpoint if request.param == "tiny" else "storybook")


@pytest.fixture(scope="module")
def address(model) -> Iterator[str]:
    about = About.of(model)
    with served(text_page(model, about=about, welcome=welcome_picture(model, about))) as address:
        yield address


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
        page.get_by_label("large", exact=True).check()
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
    expect(page.locator("#sdxs-picture")).to_have_attribute("alt", re.compile("🦊 x{290,}…"))


@pytest.fixture(scope="module")
def styles_address() -> Iterator[str]:
    options = parser(None).parse_args(["--checkpoint", "storybook"])
    options.safety = False
    with served(make_page("anime", options)) as address:
        yield address


@pytest.fixture(scope="module")
def styled() -> SDXS:
    return SDXS.load("storybook", styles="all")


def test_every_style_is_worn_as_strongly_as_the_slider_says(visit, styles_address, styled):
    page = visit(styles_address)
    first = {"seed": FIRST_SEED, "style": styled.styles[0]}
    wait_for(page, styled(About.of(styled).examples[0], **first))
    page.get_by_label("Prompt").fill(PROMPT)
    wait_for(page, styled(PROMPT, **first))
    for style in styled.styles:
        page.get_by_label(style, exact=True).check()
        for scale in ("0.5", "0", "1.5", "1"):
            page.locator("#sdxs-style-scale input[type=number]").fill(scale)
            page.keyboard.press("Tab")
            wait_for(page, styled(PROMPT, seed=0, style=style, style_scale=float(scale)))
    page.locator("#sdxs-style-scale input[type=range]").press("ArrowRight")
    wait_for(page, styled(PROMPT, seed=0, style=style, style_scale=1.05))


def test_with_and_without_beside_each_other(visit, styles_address, styled):
    page = visit(styles_address)
    page.get_by_label("Prompt").fill(PROMPT)
    page.get_by_label("Compare").check()
    wait_for(page, styled(PROMPT, seed=0, style=styled.styles[0]))
    wait_for(page, styled(PROMPT, seed=0), "sdxs-plain")
    page.get_by_role("radio", name="none").first.check()
    wait_for(page, styled(PROMPT, seed=0))
    expect(page.locator("#sdxs-plain")).to_be_hidden()


@pytest.fixture(scope="module")
def led() -> SDXS:
    return SDXS.load("storybook", controls="sketch")


@pytest.fixture(scope="module")
def canvas_address(led) -> Iterator[str]:
    about = About.of(led, page="sketch")
    with served(sketch_page(led, led.condition, about=about)) as address:
        yield address


def waits_for_the_models(page: Page, led: SDXS) -> None:
    """Until the page shows, to the byte, what the model paints for what is on the canvas."""
    image = led.condition("sketch", picture_of(page.evaluate(DRAWN)))
    prompt = page.get_by_label("Prompt").input_value()
    picture = led(prompt, seed=0, control="sketch", control_image=image)
    wait_for(page, picture)


def stroke(page: Page, by: str, height: float) -> None:
    """50 places in three seconds, and on, until 15 pictures were shown."""
    places = [(0.1 + 0.8 * n / POINTS, height + 0.2 * (n % 10) / 10) for n in range(POINTS)]
    draw(page, *places, pause=MS // POINTS, by=by, pictures=15)


@pytest.mark.parametrize("by", ["mouse", "touch"])
def test_a_stroke_is_painted_while_it_is_drawn(visit, canvas_address, led, by):
    phone = {"width": 390, "height": 844, **HANDHELD}
    page = visit(canvas_address, **(phone if by == "touch" else {}))
    stroke(page, by, 0.2)
    waits_for_the_models(page, led)
    before = page.locator("#sdxs-picture").get_attribute("src")
    stroke(page, by, 0.6)
    waits_for_the_models(page, led)
    assert page.locator("#sdxs-picture").get_attribute("src") != before
    page.get_by_role("button", name="Undo", exact=True).click()
    page.wait_for_function("src => document.getElementById('sdxs-picture').src === src", arg=before)
