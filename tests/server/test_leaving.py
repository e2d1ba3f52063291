"""Who leaves before the answer: plain requests, streams, and programs in Gradio's queue."""

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image

from sdxs.page.ui import Page, text_page
from sdxs.server.leaving import GONE, Leaving, Visits, stream_of
from sdxs.service.turns import Stale
from tests.programs import served

BODY = {"type": "http.request", "body": b"a", "more_body": False}
DONE = {"type": "http.response.start", "status": 200, "headers": []}


def visited(app: Any, *messages: Any, path: str = "/x", visits: Visits | None = None) -> list[Any]:
    """What an app behind Leaving sends to somebody of whom these messages come, then nothing."""
    sent: list[Any] = []
    coming = list(messages)

    async def receive() -> Any:
        await asyncio.sleep(0)
        return coming.pop(0) if coming else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"session_hash=s"}
    own = Leaving(app, visits or Visits())
    asyncio.run(asyncio.wait_for(own(scope, receive, send), 30))
    return sent


def test_who_leaves_is_not_answered() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert await receive() == BODY
        await asyncio.Event().wait()

    assert visited(app, BODY, GONE) == []


def test_who_stays_is() -> None:
    parts = [{**BODY, "more_body": True}, {**BODY, "more_body": True}, BODY]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for part in parts:
            assert await receive() == part
        await asyncio.sleep(0.01)
        await send(DONE)

    assert visited(app, *parts) == [DONE]


def test_a_stream_that_has_begun_ends_by_itself() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(DONE)
        while await receive() != GONE:
            pass
        assert await receive() == GONE  # as often as it is asked
        await send("end")

    assert visited(app, BODY, GONE) == [DONE, "end"]


def test_what_a_stream_tells_of_is_cancelled_with_it() -> None:
    visits, found = Visits(), []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        own = [asyncio.ensure_future(visits.of(name, asyncio.sleep(0.05, name))) for name in "sst"]
        found.extend(await asyncio.gather(*own, return_exceptions=True))

    visited(app, GONE, path="/gradio_api/queue/data", visits=visits)
    assert [type(one) for one in found] == [Stale, Stale, str] and not visits._tasks


def test_the_names_of_streams() -> None:
    def named(path: str, method: str = "GET", query: bytes = b"a=b&session_hash=x%20y") -> str:
        return stream_of({"path": path, "method": method, "query_string": query})

    assert named("/sub/gradio_api/queue/data") == "x y"
    assert named("/gradio_api/queue/data", query=b"") == ""
    assert named("/gradio_api/call/generate/abc") == "abc"
    assert named("/gradio_api/call/generate", "POST") == named("/gradio_api/info") == ""


class Held:
    """A generator that notes its prompts, and waits in the first one until it is let go."""

    def __init__(self) -> None:
        self.prompts: list[str] = []
        self.go = threading.Event()

    def __call__(self, prompt: str, **chosen: Any) -> Image.Image:
        self.prompts.append(prompt)
        assert self.go.wait(60)
        return Image.new("RGB", (16, 16))


@pytest.fixture
def page() -> Iterator[Page]:
    held = Held()
    page = text_page(held)
    page.held = held
    with served(page):
        yield page


def until(is_so: Callable[[], Any]) -> None:
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def asks(page: Page, path: str, body: Any = None) -> socket.socket:
    """A connection on which something has been asked."""
    data = json.dumps(body).encode() if body else b""
    there = socket.create_connection((page.server_name, page.server_port))
    method = "POST" if body else "GET"
    head = f"{method} /gradio_api{path} HTTP/1.1\r\nHost: here\r\nContent-Length: {len(data)}\r\n"
    there.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + data)
    return there


def heard(connection: socket.socket, pattern: str) -> re.Match[str]:
    """What an answer has of a pattern, in however many pieces it comes."""
    said = ""
    while not (found := re.search(pattern, said)):
        piece = connection.recv(10_000)
        assert piece, said
        said += piece.decode()
    return found


def test_what_those_who_left_had_asked_is_not_painted(page: Page) -> None:
    """Of pages and a program; the picture that is being painted is painted to its end."""
    turns = page._answers._turns
    stage = next(i for i, one in page.blocks.items() if one.elem_id == "sdxs-stage")
    body = {"component_id": stage, "session_hash": "p", "fn_name": "paint"}
    first = asks(page, "/component_server/", {**body, "data": {"prompt": "painted", "seed": "1"}})
    until(lambda: page.held.prompts)
    second = asks(page, "/component_server/", {**body, "data": {"prompt": "page", "seed": "1"}})
    until(turns._present)
    first.close()
    second.close()
    until(lambda: not turns._present())
    inputs = next(own.inputs for own in page.fns.values() if own.api_name == "generate")
    values = ["program", 1, *(own.value for own in inputs[2:])]
    with asks(page, "/call/generate", {"data": values}) as joined:
        event = heard(joined, r'"event_id":"(\w+)"')
        until(turns._present)
    with asks(page, f"/call/generate/{event[1]}") as stream:
        assert stream.recv(100).startswith(b"HTTP/1.1 200")
    until(lambda: not turns._present())
    page.held.go.set()
    until(lambda: not turns._working)
    assert page.held.prompts == ["painted"]
