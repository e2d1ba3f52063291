"""A real browser, and pages to visit with it. Every visit is watched: see `visit`."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from PIL import Image
from playwright.sync_api import (
    Browser,
    Locator,
    Page,
    Playwright,
    Route,
    expect,
    sync_playwright,
)

from sdxs.page.ui import Page as Blocks
from sdxs.page.ui import sketch_page, text_page
from sdxs.picture import encode
from sdxs.service.about import About
from sdxs.service.drawings import data_url
from tests.bare import SCRIPT
from tests.browser.standin import Follower, Standin
from tests.programs import lacking, served

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
ASKED = "/component_server/"  # where a page's requests go
PATIENCE_MS = 60_000  # for a machine that is busy with something else
expect.set_options(timeout=PATIENCE_MS)

# Notes every picture that the visitor sees, in order, without what its file says of it.
WATCH = (
    SCRIPT
    + """
window.seen = [];
document.addEventListener("load", (event) => {
  if (event.target.id === "sdxs-picture") window.seen.push(bare(event.target.src));
}, true);
"""
)


NAMES = "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"
MISSING = (
    "no Chromium on this machine: apt-get install chromium, or python -m playwright install "
    "chromium, or name one with CHROMIUM=/path/to/it"
)


def chromium(playwright: Playwright) -> Browser:
    """The machine's browser, or else playwright's own."""
    kind = playwright.chromium
    return kind.launch(executable_path=executable(kind.executable_path), args=FLAGS)


def executable(own: str) -> str:
    """Where the browser is. On CI a missing one is a failure, elsewhere a skip."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, (*NAMES, own))), None)
    return str(found or lacking(MISSING))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Skipped tests are a letter each; what to install is said in words."""
    skipped = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    if any(MISSING in why for why in skipped):
        terminalreporter.write_line(f"No browser test was run: {MISSING}")


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = chromium(playwright)
        yield browser
        browser.close()


@dataclass
class Visits:
    """Opens pages as separate visitors, and remembers what they asked for and complained about."""

    browser: Browser
    outside: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)  # patterns of complaints that are right
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

    @contextmanager
    def refused(self, page: Page, status: int, *expected: str, **answer) -> Iterator[list[str]]:
        """The bodies of what the page asks for, all of which is answered with an HTTP status in the
        server's place. What the browser says of that is right, and so is what is `expected`."""
        bodies: list[str] = []

        def answered(route: Route) -> None:
            bodies.append(route.request.post_data or "")
            route.fulfill(status=status, **answer)

        unsaid = "Could not connect to component server"  # Gradio's word
        self.expected += (f"^{status} .*{ASKED}", f"status of {status}", unsaid, *expected)
        page.route(f"**{ASKED}", answered)
        yield bodies
        page.unroute(f"**{ASKED}")

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
    right = re.compile("|".join(visits.expected) or "$^")
    assert [said for said in visits.complaints if not right.search(said)] == []


def source(picture: Image.Image) -> str:
    """The address of a picture as a page shows it, but for what its file says of it."""
    return data_url(encode(picture), "jpeg")


def note(page: Page) -> Locator:
    return page.locator("#sdxs-note")


def wait_for(page: Page, picture: Image.Image, place: str = "sdxs-picture") -> None:
    """Until the page shows a picture, byte for byte; what the file says of it aside."""
    script = "([place, source]) => bare(document.getElementById(place)?.src ?? '') === source"
    page.wait_for_function(script, arg=[place, source(picture)])


@contextmanager
def opened(page: Blocks, script: str = "", **options) -> Iterator[Page]:
    """A page in a browser of its own, for the programs beside the tests."""
    with served(page) as address, sync_playwright() as playwright:
        browser = chromium(playwright)
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
    """A page on the stand-in, with examples, words and styles."""
    about = About(
        checkpoint="standin",
        size=(128, 128),
        examples=(PROMPT, "a blue ball"),
        words={"things": ("ball", "house"), "colours": ("red", "blue")},
        styles=("anime", "ink"),
    )
    welcome = standin.draw(PROMPT, 0)
    with served(text_page(standin, about=about, welcome=welcome)) as address:
        yield address


@pytest.fixture(scope="package")
def quick() -> Standin:
    return Standin(0.02)


@pytest.fixture(scope="package")
def both(quick: Standin) -> Iterator[str]:
    """A page on a quick stand-in with both decoders, which paints up to eight at once."""
    about = About(checkpoint="standin", examples=(PROMPT,), decoders=("tiny", "large"))
    welcome = quick.draw(PROMPT, 0)
    with served(text_page(quick, about=about, welcome=welcome, together=8)) as address:
        yield address


@pytest.fixture(scope="package")
def address() -> Iterator[str]:
    """The page with a canvas, on a stand-in that follows what is drawn."""
    about = About(
        checkpoint="standin",
        size=(128, 128),
        examples=(PROMPT, "a blue ball"),
        conditions=("sketch", "canny"),
        templates={"at sea": "{prompt} on the sea"},
    )
    follower = Follower(0.05)
    with served(sketch_page(follower, follower.condition, about=about)) as address:
        yield address
