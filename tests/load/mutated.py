"""Seeded nonsense: paths, methods and bodies that are nearly right."""

import copy
import json
import random
import string
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from tests.load.published import API, Sent, get, post

PATHS = """
/ /config /theme.css /favicon.ico /robots.txt /healthz /readyz /metrics /monitoring /login /logout
/assets/index.js /static/img/logo.svg /svelte/a.js /gradio_api/info /gradio_api/openapi.json
/gradio_api/app_id /gradio_api/startup-events /gradio_api/queue/data?session_hash=a
/gradio_api/queue/join /gradio_api/queue/status /gradio_api/call/generate
/gradio_api/call/generate/0 /gradio_api/call/v2/generate/0 /gradio_api/file=/tmp/gradio/a.png
/gradio_api/file=/etc/passwd /gradio_api/proxy=http://127.0.0.1:9/ /gradio_api/upload
/gradio_api/upload_progress?upload_id=a /gradio_api/custom_component/1/client/component/a.js
/gradio_api/component_server/ /gradio_api/cancel /gradio_api/reset /gradio_api/stream/a
/gradio_api/deep_link /gradio_api/run/generate /gradio_api/vibe-code/ /gradio_api/dev/reload
/gradio_api/mcp/ /v1/models /v1/images/generations /api/picture?prompt=a /api/options
/sdapi/v1/txt2img /sdapi/v1/options /controlnet/version
"""
METHODS = ["GET"] * 6 + ["POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get"]
INSERTED = (
    *("/", "//", "/../", "/./", "\\", "%2e%2e/", "%2f", "%252e%252e%252f", "%00", "%0d%0a", ";a=b"),
    *("?", "?a=%ff", "#", "%", "%zz", "%c0%ae", "é", "http://a", "=", ":", "~", "*", "a" * 3000),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 2**31, 2**63, -(2**63), 10**400, 1e308, float("nan")),
    *("", " ", "\0", "a" * 3000, "é" * 500, "\ud800", "\u202e", "../../etc/passwd", "__class__"),
    *("data:image/png;base64,", "data:image/png;base64,AAAA", "data:,", "file:///etc/passwd"),
    *([], {}, [[]], [None] * 100, {"": {}}, {"path": "/etc/passwd"}, {"url": "http://127.0.0.1:9"}),
    *({"__type__": "update"}, "{prompt}", "{0.__class__}", "9" * 5000, "１２", "1e9", "-0"),
)
TYPES = (
    *(b"application/json",) * 12,
    *(b"", b"text/plain", b"application/json; charset=utf-16", b"multipart/form-data", b"a/\xff"),
    b"multipart/form-data; boundary=x",
)


def routes(chance: random.Random) -> Iterator[Sent]:
    paths = PATHS.split()
    while True:
        path = chance.choice(paths)
        for _ in range(chance.choice((0, 1, 1, 2, 4))):
            place = chance.randrange(len(path) + 1)
            match chance.randrange(5):
                case 0:
                    path = path[:place] + chance.choice(INSERTED) + path[place:]
                case 1:
                    path = path[:place] + path[place + 1 :]
                case 2 if place < len(path):
                    path = path[:place] + f"%{ord(path[place]) % 256:02x}" + path[place + 1 :]
                case 3:
                    path = path[:place] + path[place:].swapcase()
                case _:
                    path = path[:place] + chance.choice(string.printable) + path[place:]
        path = quote(path, safe=string.punctuation)  # of letters no request line may have
        yield get("routes", "/" + path.lstrip("/"), method=chance.choice(METHODS))


def payloads(chance: random.Random, valid: list[tuple[str, Any]]) -> Iterator[Sent]:
    """valid: paths, and a body that each takes."""
    while True:
        path, body = copy.deepcopy(chance.choice(valid))
        for _ in range(chance.choice((0, 1, 1, 1, 2, 3))):
            body = _changed(chance, body)
        try:
            sent = json.dumps(body).encode()
        except ValueError:
            continue
        if chance.random() < 0.1:
            place = chance.randrange(len(sent) + 1)
            sent = chance.choice(
                (sent[:place], sent[:place] + bytes([chance.randrange(256)]) + sent[place:],
                 b"[" * 5000, b"\xff\xfe" + sent, sent * 2, sent.replace(b'"', b"'")),
            )  # fmt: skip
        kind = chance.choice(TYPES)
        yield post("payloads", path, sent, kind and b"Content-Type: " + kind + b"\r\n")


def _changed(chance: random.Random, body: Any) -> Any:
    """The body with something at a place in it taken away, added, or of another kind."""
    if isinstance(body, dict) and body and chance.random() < 0.9:
        key = chance.choice(list(body))
        match chance.randrange(8):
            case 0:
                del body[key]
            case 1:
                body[
                    chance.choice(("extra", "__class__", "event_data", "batched", "trigger_id"))
                ] = copy.deepcopy(chance.choice(VALUES))
            case _:
                body[key] = _changed(chance, body[key])
        return body
    if isinstance(body, list) and body and chance.random() < 0.9:
        place = chance.randrange(len(body))
        match chance.randrange(8):
            case 0:
                del body[place]
            case 1:
                body.insert(place, copy.deepcopy(chance.choice(VALUES)))
            case _:
                body[place] = _changed(chance, body[place])
        return body
    return copy.deepcopy(chance.choice(VALUES))


def valid_calls(config: dict[str, Any], parameters: dict[str, list[Any]]) -> list[tuple[str, Any]]:
    """What a page and `gradio_client` post. parameters: of each function, its values by default."""
    request = {
        "prompt": "a red house", "seed": "7", "visitor": "tab", "style": "", "strength": 1,
        "to_prompt": "a tree", "walk": 0.5, "drawing": DRAWN, "compare": False, "final": False,
        "decoder": "", "template": "", "condition": "",
    }  # fmt: skip
    film = {"visitor": "tab", "request": request, "frames": 3, "format": "webp", "loop": False}
    calls = [
        (
            f"{API}/component_server/",
            {"data": [data], "component_id": one["id"], "fn_name": name, "session_hash": "s"},
        )
        for one in config["components"]
        for name in one["props"].get("server_fns") or ()
        for data in (request, film, {"file": DRAWN, "name": "a.png"})
    ]
    for number, one in enumerate(config["dependencies"]):
        if one["api_name"] in parameters:
            data = {"data": parameters[one["api_name"]]}
            calls += [
                (f"{API}/call/{one['api_name']}", data),
                (
                    f"{API}/queue/join",
                    data | {"fn_index": one.get("id", number)} | {"session_hash": "s"},
                ),
            ]
    ends = {"session_hash": "s", "fn_index": 0, "event_id": "e"}
    return [*calls, (f"{API}/cancel", ends), (f"{API}/reset", {"event_id": "e"})]


DRAWN = (  # four pixels
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAAAAABX3VL4AAAADklEQVR4nGP4"
    "z8DA8B8ABgAB/3hctoEAAAAASUVORK5CYII="
)
