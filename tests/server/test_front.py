"""The options of what stands in front of a page, what is logged, and what no error passes."""

import asyncio
import json
import logging
import os
import sys
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from sdxs.errors import InputError
from sdxs.server import logs
from sdxs.server.edge import BROKEN, Edge
from sdxs.server.front import NEAR, SPACES, Front, believe
from sdxs.server.limits import Limits
from sdxs.server.start import parser
from sdxs.service.bounds import Bounds


def front(*arguments: str, public: bool = True) -> Front:
    options = parser().parse_args(arguments)
    options.public = public
    return Front.of(options)


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SPACE_ID", "FORWARDED_ALLOW_IPS", "GRADIO_ROOT_PATH"):
        monkeypatch.setenv(name, "")


def test_a_public_page_has_limits() -> None:
    assert front().limits == Limits() and front(public=False).limits is None
    own = front("--visitor-requests", "7", "--all-requests", "9").limits
    assert own and (own.visitor, own.all) == (7, 9)
    assert front().bounds((512, 768)) == Bounds(2000, 512 * 768)
    assert front("--most-pixels", "99").bounds((512, 768)) == Bounds(2000, 99)
    assert front(public=False).bounds((512, 768)) == Bounds()


def test_numbers_are_not_for_strangers() -> None:
    assert not front().shows_metrics
    assert front("--metrics").shows_metrics and front(public=False).shows_metrics


def test_frames(monkeypatch: Any, ran: Any) -> None:
    assert front().frames == ()
    given = front("--frames", "https://example.com/, http://*.a.b:8080").frames
    assert given == ("https://example.com", "http://*.a.b:8080")
    monkeypatch.setenv("SPACE_ID", "someone/sdxs")
    assert front().frames == SPACES
    for wrong in ("example.com", "https://a.b/c", "https://a; script-src *", "'none'"):
        status, _, said = ran(parser().parse_args, "--frames", wrong)
        assert status == 2 and "is no site: https://example.com" in said


@pytest.mark.parametrize("option", ["--visitor-requests", "--all-requests", "--most-pixels"])
@pytest.mark.parametrize("wrong", ["0", "-1", "many", "1.5", "²"])
def test_counts(option: str, wrong: str, ran: Any) -> None:
    status, _, said = ran(parser().parse_args, f"{option}={wrong}")
    assert status == 2 and f"{wrong!r} is no whole number above 0" in said


@pytest.mark.parametrize(
    ("space", "arguments", "believed"),
    [
        ("", [], ""),
        ("", ["--root-path", "/pictures"], "127.0.0.1,::1"),
        ("", ["--root-path", "/pictures", "--proxies", ""], ""),
        ("", ["--proxies", "10.0.0.5"], "10.0.0.5"),
        ("someone/sdxs", [], NEAR),
    ],
)
def test_who_is_believed(space: str, arguments: list[str], believed: str, monkeypatch: Any) -> None:
    """uvicorn reads it from the environment when it begins."""
    monkeypatch.setenv("SPACE_ID", space)
    options = parser().parse_args(arguments)
    believe(options.proxies, options.root_path)
    assert os.environ["FORWARDED_ALLOW_IPS"] == believed


@pytest.mark.parametrize("field", ["prompt", "to_prompt"])
def test_bounds_of_prompts(field: str) -> None:
    bounds = Bounds(prompt=3)
    bounds.check({field: "abc"})
    with pytest.raises(InputError, match="longer than 3 characters: shorten it"):
        bounds.check({field: "abcd"})


def test_bounds_of_sizes() -> None:
    bounds = Bounds(pixels=64 * 64)
    for size in (64, (32, 128), None):
        bounds.check({"prompt": "a", "size": size})
    for size in (65, (32, 129)):
        with pytest.raises(InputError, match="has more than 4,096 pixels: ask for less"):
            bounds.check({"prompt": "a", "size": size})


def edged(inside: Any) -> tuple[httpx.Response, list[Any]]:
    answered: list[Any] = []

    async def ask() -> httpx.Response:
        app = Edge(inside, answered=lambda *what: answered.append(what))
        transport = httpx.ASGITransport(app, client=("1.1.1.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.get("/config?prompt=a+secret")

    return asyncio.run(ask()), answered


async def breaks(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("a secret of the server")


def test_no_error_passes(caplog: Any) -> None:
    answer, answered = edged(breaks)
    assert (answer.status_code, answer.json()) == (500, {"detail": BROKEN})
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answered == [("about", 500, "1.1.1.1")]
    assert "a secret of the server" in caplog.text  # which the log has


def as_json(record: logging.LogRecord) -> dict[str, Any]:
    line = logs.Json().format(record)
    assert "\n" not in line
    return dict(json.loads(line))


def test_a_line_of_each_request_says_nothing_of_who_or_what(caplog: Any) -> None:
    with caplog.at_level(logging.INFO, "sdxs.told"):
        edged(breaks)
    said = as_json(caplog.records[-1])
    assert (said["route"], said["status"], said["method"]) == ("about", 500, "GET")
    assert said["visitor"] == logs.hashed("1.1.1.1") and said["ms"] >= 0
    assert "1.1.1.1" not in str(said) and "secret" not in str(said)


@pytest.mark.parametrize("prompts", [False, True])
def test_a_line_of_each_picture(prompts: bool, caplog: Any) -> None:
    own = front(*["--log-prompts"] * prompts)
    with caplog.at_level(logging.INFO, "sdxs.told"):
        own.made({"prompt": "a\nsecret", "seed": 7}, {"model": 30.04, "waiting": 0})
    said = as_json(caplog.records[-1])
    assert (said["said"], said["seed"], said["model"]) == ("picture", 7, 30.0)
    assert said.get("prompt") == ("a\nsecret" if prompts else None)


def test_what_others_print_is_logged_line_by_line(caplog: Any) -> None:
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        failed = logging.LogRecord("a", 40, "", 0, "it broke", (), sys.exc_info())
    assert "RuntimeError: broken" in as_json(failed)["error"]
    stream = logs.Lines("stderr")
    print("one\n\ntwo", file=stream, end="")
    print(" goes on", file=stream)
    assert [record.getMessage() for record in caplog.records] == ["one", "two goes on"]


def test_what_others_log_goes_the_same_way() -> None:
    logger = logging.getLogger("uvicorn.error")
    before = logger.handlers[:], logger.propagate
    try:
        logger.addHandler(logging.NullHandler())
        logs.adopt()
        assert not logger.handlers and logger.propagate
    finally:
        logger.handlers[:], logger.propagate = before
