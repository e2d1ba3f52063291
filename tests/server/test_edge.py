"""What a public page says of itself, of its health and its numbers, and below a path."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
from programs import served
from starlette.responses import PlainTextResponse

from sdxs.page.ui import Page, text_page
from sdxs.server.edge import BROKEN, Edge
from sdxs.server.front import Front
from sdxs.server.guard import kind_of
from server.asking import CALL, VALUES, ask
from server.conftest import generate


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Host", "a b"),
        ("Host", "[::"),
        ("Host", "a:999999"),
        ("X-Forwarded-Host", "http://["),
        ("X-Forwarded-Host", "a, b c"),
        ("Origin", "http://[::"),
        ("Origin", "javascript:1"),
    ],
)
def test_an_address_in_a_header_is_one(page: Page, name: str, value: str) -> None:
    status, _, said = ask(page, "GET", "/config", **{name: value})
    assert (status, json.loads(said)) == (
        400,
        {"detail": f"The header {name.lower()} is no address."},
    )


def test_another_server_in_a_header_is_not_believed(page: Page) -> None:
    _, _, said = ask(page, "GET", "/config", **{"X-Gradio-Server": "http://example.com"})
    assert json.loads(said)["root"] == page.local_url.rstrip("/")


def test_what_breaks_is_told_without_its_inside(page: Page, monkeypatch: Any) -> None:
    def broken(self: Any) -> Any:
        raise RuntimeError("a secret of the server")

    monkeypatch.setattr(type(page.app), "get_blocks", broken)
    status, headers, said = ask(page, "GET", "/favicon.ico")
    assert status == 500 and "nosniff" in headers.values()
    assert said in (BROKEN.encode(), b"Internal Server Error")


def test_bare_requests(page: Page) -> None:
    """What no library would send."""
    origin = b"Origin: http://a\r\n\r\n"
    for raw in (
        b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.0\r\n" + origin, b"GET  /\r\n\r\n", b"\x16\x03\x01\r\n\r\n",
    ):  # fmt: skip
        with socket.create_connection(("127.0.0.1", page.server_port), timeout=10) as plug:
            plug.sendall(raw)
            assert plug.recv(1000).startswith(b"HTTP/1.1 400 ")


def test_ready_and_alive_are_two_things(page: Page, front: Front) -> None:
    def answers() -> list[int]:
        return [ask(page, "GET", path)[0] for path in ("/healthz", "/readyz")]

    assert answers() == [200, 200]
    front.state.ready = lambda: False
    assert answers() == [200, 503]
    front.state.alive = lambda: False
    assert answers() == [503, 503]
    front.state.ready = front.state.alive = lambda: True
    assert answers() == [200, 200]


def test_numbers_of_what_happened(page: Page, file: Path) -> None:
    assert ask(page, "GET", f"/gradio_api/file={file}")[0] == 200
    said = ask(page, "GET", "/metrics")[2].decode()
    lines = dict(line.rsplit(" ", 1) for line in said.splitlines() if line[0] != "#")
    made = lines["sdxs_pictures_total"]
    assert float(made) >= 1 and made == lines['sdxs_stage_seconds_count{stage="model"}']
    assert made == lines["sdxs_turn_pictures_count"]
    assert lines["sdxs_visitors"] == "1.0" and lines["sdxs_waiting"] == "0.0"
    assert float(lines['sdxs_requests_total{kind="file",status="200"}']) >= 1
    assert float(lines["process_resident_memory_bytes"]) > 2**20


@pytest.mark.parametrize(
    ("root", "path", "seen", "kind"),
    [
        ("", "/config", ("", "/config"), "about"),
        ("/a", "/config", ("/a", "/a/config"), "about"),
        ("/a", "/a/config", ("/a", "/a/config"), "about"),
        ("/a", "/ab", ("/a", "/a/ab"), "other"),
        ("/a", "/a", ("/a", "/a"), "page"),
        ("https://example.com/a/", "/config", ("/a", "/a/config"), "about"),
        ("https://example.com", "/config", ("", "/config"), "about"),
    ],
)
def test_a_path_begins_with_the_root_path(root: str, path: str, seen: Any, kind: str) -> None:
    async def inside(scope: Any, receive: Any, send: Any) -> None:
        assert (scope["root_path"], scope["path"]) == seen
        await PlainTextResponse(kind_of(scope)[0])(scope, receive, send)

    async def ask() -> str:
        transport = httpx.ASGITransport(Edge(inside), root_path=root)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return (await client.get(path)).text

    assert asyncio.run(ask()) == kind


def test_below_a_path_all_is_as_it_was() -> None:
    """Behind a proxy that takes the path away, and behind one that leaves it there."""
    below = text_page(generate)
    with served(below, front=Front(public=True), root_path="/pictures"):
        gradio = "/", "/config", "/healthz", "/readyz", "/gradio_api/info", "/theme.css"
        for path in (*gradio, "/v1/models", "/api/options", "/sdapi/v1/samplers"):
            for root in ("", "/pictures"):
                assert ask(below, "GET", root + path)[0] == 200
        for root in ("", "/pictures"):
            said = json.loads(ask(below, "GET", f"{root}/v1/openapi.json")[2])
            assert said["servers"] == [{"url": "/pictures/v1"}]
        for path in ("/picturesconfig", "/pictures/monitoring", "/pictures/pictures/config"):
            assert ask(below, "GET", path)[0] == 404
        said = ask(below, "GET", "/pictures/config")[2]
        assert json.loads(said)["root"].endswith("/pictures")
        assert ask(below, "POST", f"/pictures{CALL}", {"data": VALUES})[0] == 200
        assert ask(below, "GET", "/pictures/gradio_api/file=/etc/passwd")[0] == 404
