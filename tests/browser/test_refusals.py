"""What a page does where its requests are refused on the way, or not answered."""

import json

import pytest
from playwright.sync_api import Page, expect
from starlette.middleware import Middleware

from sdxs.page.ui import text_page
from sdxs.server.guard import LARGEST_BODY
from sdxs.service.about import About
from tests.browser.canvas import alone, draw, follows
from tests.browser.conftest import PROMPT, note, wait_for
from tests.browser.standin import Standin
from tests.programs import served

pytestmark = pytest.mark.browser


def says(page: Page, text: str) -> None:
    expect(note(page)).to_contain_text(text)
    expect(note(page)).to_have_attribute("data-kind", "error")


REFUSED = {
    413: "too large (413): shorten the prompt",
    401: "refuses access (401): log in",
    403: "refuses access (403): log in",
    407: "refuses access (407): log in",
    404: "refuses this request (404): change it",
    422: "refuses this request (422): change it",
}


def test_what_is_refused_is_said_once_and_not_asked_again(visit, url):
    page = visit(url)
    for status, words in REFUSED.items():
        with visit.refused(page, status) as asked:
            page.get_by_label("Prompt").fill("a heart")
            says(page, words)
            page.wait_for_timeout(2500)  # an early page asked every second
            assert len(asked) == 1, status
            page.get_by_label("Prompt").fill("a star")
            page.wait_for_timeout(1500)
            prompts = [json.loads(body)["data"]["prompt"] for body in asked]
            assert prompts == ["a heart", "a star"], status
        page.get_by_label("Prompt").fill("a cone")
        wait_for(page, Standin.draw("a cone", 0))
        expect(note(page)).to_be_empty()


def test_what_time_may_mend_is_asked_again_with_the_newest_request(visit, url):
    page = visit(url)
    for status in (408, 425, 429, 500, 502, 503, 504):
        with visit.refused(page, status) as asked:
            page.get_by_label("Prompt").fill(f"a heart {status}")
            expect(note(page)).to_contain_text(f"cannot answer just now ({status})")
            page.get_by_label("Prompt").fill(f"a star {status}")
        wait_for(page, Standin.draw(f"a star {status}", 0))
        expect(note(page)).to_be_empty()
        assert "a star" not in asked[0], status


def test_a_login_in_the_servers_place(visit, url):
    page = visit(url)
    login = {"body": "<html>log in</html>", "content_type": "text/html"}
    with visit.refused(page, 200, "is not valid JSON", **login) as asked:
        page.get_by_label("Prompt").fill("a heart")
        says(page, "Something else answers in the server's place")
        page.wait_for_timeout(2500)
        assert len(asked) == 1


def test_a_drawing_that_is_too_large(visit, address):
    page = alone(visit(address))
    with visit.refused(page, 413):
        draw(page, (0.2, 0.2), (0.8, 0.7))
        says(page, "too large (413): clear the canvas")
    draw(page, (0.2, 0.8), (0.8, 0.3))
    follows(page)
    expect(note(page)).to_be_empty()


def test_our_own_limit_is_told_as_one(visit, address):
    page = alone(visit(address))
    visit.expected += ("413", "Could not connect to component server")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate(
        "most => { HTMLCanvasElement.prototype.toDataURL = () => 'data:,' + 'A'.repeat(most); }",
        LARGEST_BODY,
    )
    draw(page, (0.5, 0.5))
    says(page, "too large (413): clear the canvas")
    page.wait_for_timeout(5000)  # an early page asked every second
    assert len(asked) <= 4  # the press, a move, the lift, and what is downloaded beside them


def test_a_refused_download_is_explained(visit, url):
    page = visit(url)
    with visit.refused(page, 403):
        page.get_by_role("button", name="Download PNG").click()
        says(page, "refuses access (403)")


class Below:
    """A proxy that serves a page below /sdxs/, and nothing elsewhere; Gradio asks itself, too."""

    def __init__(self, app) -> None:
        self.app = app

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "http" and scope["method"] != "HEAD":
            _, below, path = scope["path"].partition("/sdxs/")
            own = "startup-events" in scope["path"]
            path = f"/{path}" if below else scope["path"] if own else "/nothing"
            scope = {**scope, "path": path, "raw_path": path.encode()}
        await self.app(scope, receive, send)


@pytest.mark.parametrize("root_path", ["/sdxs", ""])
def test_behind_a_path_prefix(visit, standin, root_path):
    about = About(checkpoint="standin", examples=(PROMPT,))
    page = text_page(standin, about=about, welcome=standin.draw(PROMPT, 0))
    proxy = {"middleware": [Middleware(Below)]}
    with served(page, root_path=root_path, app_kwargs=proxy) as address:
        visit.expected.append("404")  # Gradio names its manifest by a whole path
        visit.expected += () if root_path else ("preload CSS", "component server")
        page = visit(f"{address}sdxs/")
        page.get_by_label("Prompt").fill("a heart")
        if root_path:
            wait_for(page, Standin.draw("a heart", 0))
            shade = "getComputedStyle(document.body).getPropertyValue('--neutral-200')"
            assert page.evaluate(shade)
        else:
            says(page, "start it with --root-path /sdxs")
