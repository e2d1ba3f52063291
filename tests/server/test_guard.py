"""What of Gradio a page opens to the network."""

import http.client
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from gradio.utils import get_upload_folder

from sdxs.page.ui import Page
from sdxs.server.calls import PAGES
from sdxs.server.front import PUBLIC_BODY
from server.asking import CALL, JSON, VALUES, ask, note

CLOSED = """
/docs /redoc /openapi.json /user /login_check /token /login /logout /monitoring /monitoring/summary
/gradio_api/monitoring /gradio_api/token /gradio_api/user /gradio_api/runs /gradio_api/deep_link
/gradio_api/upload /gradio_api/upload_progress?upload_id=a /gradio_api/queue/status
/gradio_api/proxy=http://127.0.0.1/ /gradio_api/proxy=https://a.hf.space/ /proxy=http://127.0.0.1/
/gradio_api/file/etc/passwd /gradio_api/mcp/ /gradio_api/mcp/sse /manifest.json /pwa_icon
/gradio_api/custom_component/a/client/component/../../../etc/passwd
/gradio_api/stream/a/1/1/playlist.m3u8 /gradio_api/vibe-code/ /gradio_api/dev/reload
/gradio_api/profiling/traces /gradio_api/run-history/buckets //example.com/.. /%2fexample.com
/config// /CONFIG /config%00 /config%0a /config;a /assets/../config /assets/%2e%2e/version.txt
/assets/..%2f..%2fversion.txt /static/%252e%252e/a /svelte/..%5c..%5ca /assets//etc/passwd
/assets/.env /assets/a%00.js
"""
POSTED = """
/gradio_api/upload /gradio_api/process_recording /gradio_api/run/generate /gradio_api/api/generate
/gradio_api/stream/a /gradio_api/vibe-edit /gradio_api/cancel/ /login /config /
"""
NEEDED = """
/ /?view=api /config /gradio_api/info /gradio_api/openapi.json /theme.css /favicon.ico
/static/img/logo.svg /healthz /readyz /gradio_api/startup-events
"""


@pytest.mark.parametrize("path", [*CLOSED.split(), "/static/" + "a" * 300, "/assets" + "/a" * 3000])
def test_what_a_page_does_not_need_is_not_there(page: Page, path: str) -> None:
    assert ask(page, "GET", path)[0] == 404


@pytest.mark.parametrize("path", POSTED.split())
def test_nor_may_anything_else_be_posted(page: Page, path: str) -> None:
    assert ask(page, "POST", path, {"data": VALUES})[0] == 404


@pytest.mark.parametrize("path", NEEDED.split())
def test_what_it_needs_is_there_and_says_what_it_may(page: Page, path: str) -> None:
    status, headers, _ = ask(page, "GET", path)
    assert status == 200
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert "frame-ancestors 'self' https://example.com" in headers["content-security-policy"]


def test_a_file_of_its_own_is_given(page: Page, file: Path) -> None:
    for more in ({}, {"Range": "bytes=²-3"}, {"Range": "bytes=9-3,-1,0-"}):
        more = {name: value.encode("latin-1") for name, value in more.items()}
        status, _, said = ask(page, "GET", f"/gradio_api/file={file}", **more)
        assert (status, said) == (200, file.read_bytes())


def test_what_strangers_ask_for_has_bounds(page: Page) -> None:
    """2,000 characters, see `Bounds`; told as any other mistake is."""
    for length, event, words in (2000, "complete", "path"), (2001, "error", "2,000 characters"):
        said = ask(page, "POST", CALL, {"data": ["a" * length, *VALUES[1:]]})[2]
        stream = ask(page, "GET", f"{CALL}/{json.loads(said)['event_id']}")[2].decode()
        assert f"event: {event}" in stream and words in stream


def test_no_other_file_is(page: Page, file: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_text("a secret of the machine")
    link, up = file.parent / "link.jpg", os.path.relpath(secret, file.parent)
    link.symlink_to(secret)
    folder = file.parent / "folder"
    folder.symlink_to(tmp_path)
    paths = [
        link,
        folder / "secret.jpg",
        secret,
        file.parent,
        file.parent / up,
        get_upload_folder(),
    ]
    paths += ["/etc/passwd", "/proc/self/environ", "/proc/self/cwd/README.md", "README.md"]
    paths += [f"/proc/self/root{file}", f"{file}\0", f"{file}/", "x" * 5000, f"file://{file}"]
    paths += ["http://127.0.0.1/", "HTTPS://example.com/a.png", "//example.com", "\\\\host\\share"]
    try:
        for path in map(str, paths):
            if path in (f"/proc/self/root{file}", f"{file}/"):  # other names of the file itself
                continue
            for asked in (path, quote(path, ""), quote(quote(path, ""), "")):
                asked = asked if asked.isprintable() else quote(asked)
                status, _, said = ask(page, "GET", f"/gradio_api/file={asked}")
                assert (status, json.loads(said)) == (404, {"detail": "There is no such file."})
    finally:
        link.unlink()
        folder.unlink()


WRONG = [  # path, body, status, words
    (CALL, {"data": VALUES[:2]}, 422, '/generate takes 5 values in a list, "data": prompt, seed'),
    (CALL, {"data": "abcde"}, 422, "/generate takes 5 values"),
    (CALL, {"data": [{"path": "/etc/passwd"}, *VALUES[1:]]}, 422, "prompt must be text."),
    (
        CALL,
        {"data": [VALUES[0], {"url": "http://127.0.0.1"}, *VALUES[2:]]},
        422,
        "seed must be text.",
    ),
    (CALL, {"data": [*VALUES[:4], "far"]}, 422, "walk must be a number."),
    (CALL, {"data": VALUES, "session_hash": 1}, 422, "session_hash must be a text"),
    (f"{CALL[:-8]}nothing", {"data": VALUES}, 404, "there is /generate, /walk"),
    ("/gradio_api/call/v2/generate", {"prompt": {"path": "/"}}, 422, "prompt must be text."),
    (
        "/gradio_api/call/v2/generate",
        {"width": 3},
        422,
        "/generate has no 'width': it takes prompt",
    ),
    ("/gradio_api/call/v2/nothing", {}, 404, "there is /generate, /walk"),
    (
        "/gradio_api/queue/join",
        {"data": [], "session_hash": "a", "fn_index": 10**9},
        404,
        "there is",
    ),
    (
        "/gradio_api/queue/join",
        {"data": [], "session_hash": "a", "fn_index": True},
        422,
        "fn_index",
    ),
    ("/gradio_api/queue/join", {"data": []}, 422, "fn_index must be a whole number"),
    ("/gradio_api/component_server/", {"data": []}, 422, "component_id must be"),
    ("/gradio_api/component_server", b"[]", 422, "must be a JSON object"),
    ("/gradio_api/cancel", b'{"event_id": NaN}', 400, "not JSON"),
    ("/gradio_api/cancel", {"session_hash": "a", "fn_index": 1}, 422, "event_id must be"),
    ("/gradio_api/reset", b'{"event_id": 1e999}', 400, "not JSON"),
    ("/gradio_api/reset", b'{"event_id": "\\ud800"}', 400, "not JSON"),
    ("/gradio_api/reset", b"[" * 100_000, 400, "not JSON"),
    ("/gradio_api/reset", b"1" * 10_000, 400, "not JSON"),
    ("/gradio_api/reset", b"\xff", 400, "not JSON"),
    ("/gradio_api/reset", {"event_id": ["a"]}, 422, "event_id must be a text"),
]


@pytest.mark.parametrize(("path", "body", "status", "words"), WRONG)
def test_a_wrong_body_is_told_in_a_line(
    page: Page, path: str, body: Any, status: int, words: str
) -> None:
    told, said = note(page, path, body)
    assert told == status and words in said and "\n" not in said


def test_only_functions_for_the_page_are_served(page: Page) -> None:
    asked = {"data": [{}], "session_hash": "a", "fn_name": "paint"}
    for component in (10**9, 1):
        status, said = note(
            page, "/gradio_api/component_server/", asked | {"component_id": component}
        )
        assert (status, said) == (404, "There is no such function: reload the page.")
    status, said = note(
        page, "/gradio_api/component_server/", b"a=b", **{"Content-Type": "text/plain"}
    )
    assert status == 415 and "application/json" in said


def test_pages_share_a_session_since_making_one_takes_longer_than_a_call(page: Page) -> None:
    stage = next(number for number, one in page.blocks.items() if one.elem_id == "sdxs-stage")
    for visitor in ("one visitor", "another"):
        asked = {"component_id": stage, "fn_name": "place", "session_hash": visitor, "data": {}}
        assert ask(page, "POST", "/gradio_api/component_server/", asked)[0] == 200
    assert {"one visitor", "another", PAGES} & {*page.app.state_holder.session_data} == {PAGES}


def test_what_was_heard_or_nobody_listens_to_is_forgotten(page: Page) -> None:
    names = page._queue.pending_event_ids_session
    names["never"] = {"an event"}
    for _ in range(2):
        before = {*names}
        said = ask(page, "POST", CALL, {"data": VALUES})[2]
        assert b"complete" in ask(page, "GET", f"{CALL}/{json.loads(said)['event_id']}")[2]
        assert not before & {*names}


@pytest.mark.parametrize(
    "path", ["/gradio_api/queue/data?session_hash=a", "/gradio_api/queue/data", f"{CALL}/0"]
)
def test_nothing_is_heard_of_what_was_not_asked(page: Page, path: str) -> None:
    status, _, said = ask(page, "GET", path)
    assert status == 404 and b"Nothing is awaited" in said


def test_large_bodies_are_refused(page: Page) -> None:
    path = "/gradio_api/component_server/"
    assert note(page, path, b"x" * (PUBLIC_BODY + 1))[0] == 413
    assert ask(page, "POST", path, b"", **{"Content-Length": "many"})[0] == 400  # by uvicorn
    parts = iter([b"x" * 2**20] * 12)  # in chunks, which announce no length
    connection = http.client.HTTPConnection("127.0.0.1", page.server_port, timeout=60)
    connection.request("POST", path, parts, JSON, encode_chunked=True)
    assert connection.getresponse().status == 413
