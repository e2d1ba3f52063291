"""The page on a real Ray Serve of this machine: two painters and two pages, on a stand-in."""

import concurrent.futures
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from gradio_client import Client
from playwright.sync_api import sync_playwright

from sdxs.picture import encode
from sdxs.service.told import BROKEN
from tests.bare import bare
from tests.browser.conftest import WATCH, chromium, wait_for
from tests.browser.standin import Standin
from tests.load.cluster import Cluster, cluster

pytestmark = pytest.mark.slow  # two pages and two painters, each a process, and Ray's own

SECONDS = 0.1  # that a picture takes


@pytest.fixture(scope="module")
def ray() -> Iterator[Cluster]:
    with cluster(seconds=SECONDS, replicas=2, pages=2, public=True, cpus=0.5) as own:
        yield own


def picture(own: Cluster, prompt: str, seed: int = 1) -> bytes:
    asked = {"prompt": prompt, "seed": str(seed)}
    answer = httpx.get(f"{own.url}/api/picture", params=asked, timeout=60, trust_env=False)
    assert answer.status_code == 200, answer.text
    return answer.content


@pytest.fixture(scope="module")
def stage(ray) -> int:
    parts = httpx.get(f"{ray.url}/config", trust_env=False).json()["components"]
    return next(one["id"] for one in parts if one["props"].get("elem_id") == "sdxs-stage")


def called(own: Cluster, stage: int, visitor: str, **request: Any) -> Any:
    """What a page is answered."""
    body = {
        "session_hash": visitor, "component_id": stage, "fn_name": "paint",
        "data": {"visitor": visitor, **request},
    }  # fmt: skip
    url, headers = f"{own.url}/gradio_api/component_server/", {"X-Session-ID": visitor}
    answer = httpx.post(url, json=body, headers=headers, timeout=60, trust_env=False)
    return answer.json()


def at_once(*calls: Any) -> list[Any]:
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        return [one.result() for one in [pool.submit(*call) for call in calls]]


def test_the_page_and_its_parts_are_there(ray):
    with httpx.Client(base_url=ray.url, trust_env=False) as http:
        page = http.get("/")
        assert page.status_code == 200 and "sdxs-stage" in page.text
        assert "Content-Security-Policy" in page.headers
        assert http.get("/readyz").text == "ready" and http.get("/healthz").text == "alive"
        assert http.get("/theme.css").status_code == 200
        assert http.get("/gradio_api/file=/etc/passwd").status_code == 404
        assert http.get("/docs").status_code == http.get("/openapi.json").status_code == 404
        assert http.get("/v1/models").json()["data"][0]["id"] == "standin"
        assert http.get("/metrics").status_code == 404  # public


def test_programs_have_their_pictures(ray):
    prompts = [f"picture {number}" for number in range(24)]
    made = at_once(*((picture, ray, prompt) for prompt in prompts))
    right = [encode(Standin.draw(prompt, 1)) for prompt in prompts]
    assert [bare(file) for file in made] == right


def test_what_waits_is_painted_together(ray):
    asked = [{"prompt": f"together {number}", "seed": "1"} for number in range(24)]
    url = f"{ray.url}/api/picture"
    answers = at_once(*((lambda one: httpx.get(url, params=one, timeout=60), one) for one in asked))
    assert any(answer.status_code == 200 for answer in answers)


def test_the_newest_of_a_visitor_counts_on_whichever_page_it_is(ray, stage):
    """Eight visitors, so that both pages have some."""
    visitors = [f"visitor {number}" for number in range(8)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:

        def asked(prompt: str) -> list[Any]:
            told = {"prompt": prompt, "seed": "1"}
            return [pool.submit(called, ray, stage, visitor, **told) for visitor in visitors]

        older = asked("slow")
        time.sleep(1)
        newer = asked("newer")
    for former, latter in zip(older, newer, strict=True):
        assert "picture" not in former.result() and "picture" in latter.result()


def test_gradio_client_stays_with_one_page(ray):
    client = Client(ray.url, headers={"X-Session-ID": "a"}, verbose=False)
    for number in range(4):
        file = client.predict(f"client {number}", api_name="/generate")
        with open(file, "rb") as made:
            assert bare(made.read()) == encode(Standin.draw(f"client {number}", 0))


def test_a_mistake_and_a_mishap_are_told_in_a_line(ray, stage):
    answer = httpx.get(f"{ray.url}/api/picture", params={"prompt": "a", "seed": "b"})
    assert answer.status_code == 400 and "Seed must be" in answer.text
    assert called(ray, stage, "v", prompt="boom", seed="1") == {"note": BROKEN, "kind": "error"}


def test_painters_that_are_killed_cost_nobody_a_picture(ray):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        asked = [pool.submit(picture, ray, f"killed {number}") for number in range(48)]
        time.sleep(SECONDS / 2)
        ray.processes()["Painters"][0].kill()
        made = [one.result() for one in asked]
    right = [encode(Standin.draw(f"killed {number}", 1)) for number in range(48)]
    assert [bare(file) for file in made] == right


@pytest.mark.browser
def test_who_types_in_a_browser_sees_their_last_word(ray):
    with sync_playwright() as playwright:
        browser = chromium(playwright)
        for number in range(2):
            page = browser.new_context().new_page()
            page.add_init_script(WATCH)
            page.goto(ray.url)
            page.get_by_label("Prompt").press_sequentially(f"a red house {number}", delay=30)
            wait_for(page, Standin.draw(f"a red house {number}", 0))
        browser.close()
