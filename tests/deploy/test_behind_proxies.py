"""The proxies' lines in docs/deploy.md, by the proxies themselves, before a page below a path."""

import http.client
import io
import json
import re
import select
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import pytest
from gradio_client import Client
from programs import listening, served

from sdxs.page.ui import text_page
from sdxs.server.front import Front
from tests.browser.standin import Standin
from tests.deploy.proxies import KINDS, PATH, proxy
from tests.load.published import HOST, Sent
from tests.load.smuggled import ANSWERED, INSIDE, MALFORMED, SMUGGLED, TO_TWO, below, downgraded, h2


@pytest.fixture(scope="module")
def page() -> Iterator[str]:
    with served(text_page(Standin(0)), front=Front(public=True), root_path=PATH) as address:
        yield address


class Found(NamedTuple):
    """kind: of the proxy. address: the page's, below it."""

    kind: str
    address: str


@pytest.fixture(scope="module", params=KINDS)
def found(request: pytest.FixtureRequest, page: str, tmp_path_factory: object) -> Iterator[Found]:
    with proxy(request.param, page, tmp_path_factory.mktemp(request.param)) as address:
        yield Found(request.param, address)


def status(url: str, size: int) -> int:
    """Of a request with a body of so many bytes."""
    body = json.dumps({"data": "x" * size}).encode()
    asked = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        return int(urllib.request.urlopen(asked).status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_page_behind_it(page: str, found: Found) -> None:
    with urllib.request.urlopen(f"{found.address}/") as answer:
        root = re.search(r'"root":"([^"]+)"', answer.read().decode())
    assert root and root[1] == found.address
    picture = Client(found.address, verbose=False).predict("a house", "7", api_name="/generate")
    assert Path(picture).stat().st_size > 500
    small, large = (
        status(f"{found.address}/gradio_api/component_server/", 2**20 * n) for n in (10, 17)
    )
    assert (small, large) == (status(f"{page}gradio_api/component_server/", 100), 413)


def said(address: str, raw: bytes) -> bytes:
    """All that comes back at once; the connection is kept open until then."""
    parts = urlsplit(address)
    answer = b""
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=0.1) as plug:
        try:
            plug.sendall(raw)
            while part := plug.recv(65536):
                answer += part
        except OSError:
            pass
    return answer


def spoilt(address: str, forms: tuple[Sent, ...]) -> list[str]:
    """The forms of which what they hide was answered, to them or to the next who asks, on another
    connection."""
    wrong = []
    for number, sent in enumerate(forms):
        answer = said(address, below(sent, PATH.encode()).raw)
        if ANSWERED in answer:
            wrong.append(f"{sent.named}: {answer[:300]!r}")
        for seed in (2 * number, 2 * number + 1):
            parts = urlsplit(address)
            other = http.client.HTTPConnection(parts.netloc, timeout=60)
            other.request("GET", f"{parts.path}/api/picture?prompt=a&seed={seed}")
            given = other.getresponse()
            if (given.status, given.headers["X-Seed"]) != (200, str(seed)):
                wrong.append(f"{sent.named}: {seed} got {given.status} {given.read()[:300]!r}")
            other.close()
    return wrong


def test_nothing_is_smuggled_through_it(found: Found) -> None:
    assert not spoilt(found.address, SMUGGLED + TO_TWO + MALFORMED)
    if found.kind == "caddyfile":  # which speaks HTTP/2 where it is not told otherwise
        models = h2("models", (b":path", f"{PATH}/v1/models".encode()))
        assert ANSWERED in said(found.address, models.raw)
        assert not spoilt(found.address, downgraded(PATH.encode()))


class Answers(io.BufferedReader):
    """On one connection: what was read beyond an answer is the next one's."""

    def makefile(self, _: str) -> Self:
        return self

    def close(self) -> None:
        pass


def test_requests_in_a_row_are_answered_in_order(found: Found) -> None:
    """Two on one connection, the second before the first is answered; and one by its address."""
    asked = b"".join(
        b"GET %s/api/picture?prompt=a&seed=%d HTTP/1.1\r\n%s\r\n" % (PATH.encode(), seed, HOST)
        for seed in (3, 4)
    )
    place = urlsplit(found.address).netloc.encode()
    whole = b"GET http://%s%s/v1/models HTTP/1.1\r\nHost: %s\r\n\r\n" % (
        place,
        PATH.encode(),
        place,
    )
    with socket.create_connection(place.decode().split(":"), timeout=60) as plug:
        plug.sendall(asked + whole)
        answers: Any = Answers(plug.makefile("rb", buffering=0))
        for seed in (3, 4, None):
            answer = http.client.HTTPResponse(answers, method="GET")
            answer.begin()
            assert answer.headers["X-Seed"] == (None if seed is None else str(seed))
            body = answer.read()
    assert ANSWERED in body


class Careless(BaseHTTPRequestHandler):
    """A server that reads no body: what is in it is the next request, answered when there is
    another one, as a slow server would."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        hidden = self.path == INSIDE.split()[1].decode()
        if hidden:
            select.select([self.connection], [], [], 60)
        seed = self.path.rpartition("seed=")[2]
        self.send_response(200)
        self.send_header("X-Seed", seed)
        self.send_header("Content-Length", str(len(ANSWERED) * hidden))
        self.end_headers()
        self.wfile.write(ANSWERED * hidden)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("kind", KINDS)
def test_a_careless_server_would_be_seen(kind: str, tmp_path: Path) -> None:
    (form,) = (sent for sent in SMUGGLED if sent.named == "CL.0")
    with listening(Careless) as page, proxy(kind, page, tmp_path) as address:
        assert spoilt(address, (form,))
