"""A real browser, and pages to visit with it. Every visit is watched: see `visit`."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from sdxs.page.about import About
from sdxs.page.drawings import data_url
from sdxs.page.ui import Page as Blocks
from sdxs.page.ui import sketch_page, text_page
from sdxs.picture import encode
from tests.browser.standin import Follower, Standin
from tests.programs import served

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",  # a camera that shows a test picture, to those it may
]

PROMPT = "a red house at sunset"
HANDHELD = {"has_touch": True, "is_mobile": True}
PATIENCE_MS = 60_000  # for a machine that is busy with something else
expect.set_options(timeout=PATIENCE_MS)

# Notes every picture that the visitor sees, in order.
WATCH = """
window.seen = [];
document.addEventListener("load", (event) => {
  if (event.target.id === "sdxs-picture") window.seen.push(event.target.src);
}, true);
"""


def chromium() -> str:
    """The browser's path. On CI a missing browser is a failure, elsewhere a skip."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if not found and os.environ.get("CI"):
        pytest.fail("no chromium on this machine: apt-get install chromium")
    if not found:
        pytest.skip("no chromium on this machine")
    return found


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Visits:
    """Opens pages as separate visitors, and remembers what they asked for and complained about."""

    browser: Browser
    outside: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    contexts: list = field(default_factory=list)

    def __call__(
        self, url: str, *, width: int = 1280, height: int = 900, script: str = "", **options
    ) -> Page:
        context = self.browser.new_context(
            viewport={"width": width, "height": height}, accept_downloads=True, **options
        )
        self.contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.add_init_script(WATCH + script)
        page.on("request", self._request)
        said = self.complaints.append
        page.on("console", lambda m: m.type in ("error", "warning") and said(m.text))
        page.on("pageerror", lambda error: said(str(error)))
        page.on("response", lambda r: r.status >= 400 and said(f"{r.status} {r.url}"))
        page.goto(url)
        page.locator("#sdxs-picture").wait_for(state="attached")
        page.get_by_label("Prompt").wait_for()
        return page

    def _request(self, request) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            self.outside.append(request.url)


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visits]:
    """A function that opens a page as a new visitor. Nothing may leave the machine or complain."""
    visits = Visits(browser)
    yield visits
    for context in visits.contexts:
        context.close()
    assert visits.outside == []
    assert visits.complaints == []


def source(picture: Image.Image) -> str:
    """The address of a picture as a page shows it."""
    return data_url(encode(picture), "jpeg")


def note(page: Page) -> Locator:
    return page.locator("#sdxs-note")


def wait_for(page: Page, picture: Image.Image, place: str = "sdxs-picture") -> None:
    """Until the page shows a picture, byte for byte."""
    script = "([place, source]) => document.getElementById(place).src === source"
    page.wait_for_function(script, arg=[place, source(picture)])


@contextmanager
def opened(page: Blocks, script: str = "", **options) -> Iterator[Page]:
    """A page in a browser of its own, for the programs beside the tests."""
    with served(page) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        tab = browser.new_page(**options)
        tab.add_init_script(script)
        tab.goto(address)
        yield tab
        browser.close()


@pytest.fixture(scope="package")
def standin() -> Standin:
    return Standin()


@pytest.fixture(scope="package")
def url(standin: Standin) -> Iterator[str]:
    """A page on the stand-in, with examples, words, both decoders and styles."""
    about = About(
        checkpoint="standin",
        examples=(PROMPT, "a blue ball"),
        words={"things": ("ball", "house"), "colours": ("red", "blue")},
        decoders=("tiny", "large"),
        styles=("anime", "ink"),
    )
    welcome = standin.draw(PROMPT, 0)
    with served(text_page(standin, about=about, welcome=welcome)) as address:
        yield address


@pytest.fixture(scope="package")
def address() -> Iterator[str]:
    """The page with a canvas, on a stand-in that follows what is drawn."""
    about = About(
        checkpoint="standin",
        examples=(PROMPT, "a blue ball"),
        conditions=("sketch", "canny"),
        templates={"at sea": "{prompt} on the sea"},
    )
    follower = Follower(0.05)
    with served(sketch_page(follower, follower.condition, about=about)) as address:
        yield address
