"""The static site with its own engine and the embedded model: its pictures are Python's."""

import io
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page, expect

from sdxs import SDXS
from sdxs.picture import encode
from sdxs.service.drawings import bytes_of, data_url
from tests.browser.conftest import note
from tests.browser.web.conftest import (
    CONTROL,
    PROMPT,
    STYLE,
    Host,
    Tabs,
    asked,
    hosting,
    painted,
    prompt,
    ready,
)

pytestmark = [pytest.mark.browser, pytest.mark.embedded]

FORTY = "a big yellow star at night on the sea xy"
NO_WORKER = "delete Navigator.prototype.serviceWorker;"
PROMPTS = (
    "a red house to the left of a green tree at sunset on the grass",
    "a big yellow star at night on the sea",
    "a small blue boat on the water in the evening",
    "a pink heart and an orange cone in the snow by day",
    "A GREEN cube, in winter!",
    "ein rotes Haus 🏡",
    "a white tree " * 40,
    "x",
)
SEEDS = (0, 7, 2**32, 2**63 - 1)
LEAST = 40  # dB


@pytest.fixture(scope="module")
def own(site) -> Iterator[Host]:
    with hosting(site) as host:
        yield host


@pytest.fixture(scope="module")
def page(browser: Browser, own: Host) -> Iterator[Page]:
    """The canvas page after its first visit, with threads."""
    tabs = Tabs(browser)
    yield ready(tabs(f"{own.url}sketch.html"))
    tabs.contexts[0].close()
    assert tabs.outside == tabs.complaints == []


def house(size: int = 512) -> str:
    """A drawing as the canvas gives it."""
    paper = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(paper)
    for line in ([(150, 420), (150, 250), (256, 150), (362, 250), (362, 420), (150, 420)],
                 [(230, 420), (230, 330), (290, 330), (290, 420)]):  # fmt: skip
        draw.line(line, fill="#101010", width=10, joint="curve")
    return data_url(encode(paper, "png"), "png")


def requests() -> list[dict[str, Any]]:
    """64 of them: prompts and seeds, on a walk, with a style, with a drawing, with both."""
    drawn, styled = {"drawing": house(), "strength": 0.8}, {"style": STYLE, "style_scale": 0.6}
    both = {**drawn, "style": STYLE, "style_scale": 1.5}
    pairs = [*itertools.product(PROMPTS, SEEDS)]
    found: list[dict[str, Any]] = [  # one way after the other: few graphs are kept
        {"prompt": text, "seed": str(seed), **way}
        for at, way in enumerate(({}, drawn, styled, both))
        for text, seed in pairs[at % 2 :: 2]
    ]
    for request in found[::5]:
        request |= {"to_prompt": "a blue boat", "to_seed": "9", "walk": 0.3}
    return found


def distance(one: Image.Image, other: Image.Image) -> float:
    """dB."""
    apart = np.asarray(one, np.float64) - np.asarray(other, np.float64)
    return float(10 * np.log10(255**2 / max(np.square(apart).mean(), 1e-9)))


def test_sixty_four_pictures_are_pythons(page: Page) -> None:
    model = SDXS.load("storybook", styles=STYLE, controls=CONTROL, dtype="float32", engine="eager")
    found = []
    for request in requests():
        answer = asked(page, "download", request)
        assert "file" in answer, (request, answer)
        theirs = Image.open(io.BytesIO(bytes_of(answer["file"], "it")))
        told: dict[str, Any] = {"seed": int(request["seed"])}
        if "walk" in request:
            told |= {"to_prompt": request["to_prompt"], "to_seed": 9, "walk": request["walk"]}
        if "style" in request:
            told |= {"style": STYLE, "style_scale": request["style_scale"]}
        if "drawing" in request:
            drawing = Image.open(io.BytesIO(bytes_of(request["drawing"], "it")))
            told |= {"control": CONTROL, "control_image": model.condition(CONTROL, drawing)}
            told |= {"control_scale": request.get("strength", 1)}
        found.append(distance(theirs, model(request["prompt"], **told)))
    assert len(found) == 64 and min(found) >= LEAST, sorted(found)


def test_fast_typing_ends_in_the_right_picture(page: Page) -> None:
    prompt(page).fill("")
    prompt(page).press_sequentially(FORTY, delay=60)
    picture = painted(page, FORTY)
    assert picture == asked(page, "paint", {"prompt": FORTY, "seed": "0"})["picture"]


def test_two_tabs_and_offline(page: Page, own: Host) -> None:
    keeps = """() => new Promise((done) => {
      navigator.serviceWorker.addEventListener("message", ({ data }) => done(data.kept));
      navigator.serviceWorker.controller.postMessage("keep");
    })"""
    assert page.evaluate(keeps)
    assert page.evaluate("crossOriginIsolated")
    own.closed = True
    other = page.context.new_page()
    other.goto(f"{own.url}index.html")
    prompt(ready(other)).fill(PROMPT)
    prompt(page).fill("a blue boat")
    assert painted(other, PROMPT) != painted(page, "a blue boat")
    other.get_by_label(STYLE, exact=True).check()
    picture = other.locator("#sdxs-picture")
    expect(picture).to_have_attribute("alt", f"{PROMPT} (seed 0, style {STYLE})")
    own.closed = False


def test_a_damaged_file(tabs: Tabs, own: Host) -> None:
    own.instead["model/weights/unet.safetensors"] = b"x"
    page = tabs(f"{own.url}index.html", script=NO_WORKER)
    expect(note(page)).to_contain_text("Weights/unet.safetensors has 1 bytes")
    del own.instead["model/weights/unet.safetensors"]
