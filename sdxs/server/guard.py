"""What reaches Gradio: the routes that pages and `gradio_client` need, with bodies that make sense.

Gradio has dozens of others, which fetch, upload, proxy, record or edit; they are not there. A file
is given only where it really lies in the folder of the pages' own. Knows nothing of pages or
models.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sdxs.server.calls import Interface, Refused, check_stream, checked

LARGEST_BODY = 16 * 2**20  # bytes; a drawing of 8 MB in base64 fits
SLOWEST_BODY = 60  # seconds

_NAME = r"[\w-]{1,100}"
_FILE = r"[\w@+-][\w@.+-]{0,199}"  # no system has longer names
ROUTES = {  # kind -> methods, the whole of the path
    "page": ("GET HEAD", r"/?"),
    "asset": (
        "GET HEAD",
        rf"/(?:assets|static|svelte)(?:/{_FILE}){{1,8}}|/(?:gradio_api/)?theme\.css|/favicon\.ico"
        r"|/robots\.txt",
    ),
    "about": (
        "GET",
        r"/config/?|/gradio_api/(?:info/?|openapi\.json|app_id/?|startup-events)",
    ),
    "server": ("POST", r"/gradio_api/component_server/?"),
    "join": ("POST", r"/gradio_api/queue/join"),
    "call by names": ("POST", rf"/gradio_api/call/v2/(?P<name>{_NAME})/?"),
    "call": ("POST", rf"/gradio_api/call/(?P<name>{_NAME})/?"),
    "cancel": ("POST", r"/gradio_api/cancel"),
    "reset": ("POST", r"/gradio_api/reset/?"),
    "heartbeat": ("GET", rf"/gradio_api/heartbeat/{_NAME}"),
    "stream": (
        "GET",
        rf"/gradio_api/(?:queue/data|call/(?:v2/)?{_NAME}/(?P<name>{_NAME}))",
    ),
    "file": ("GET HEAD", r"/gradio_api/file=(?P<name>.+)"),
    "health": ("GET HEAD", r"/healthz|/readyz|/metrics"),
}
_PATTERNS = {
    kind: (methods.split(), re.compile(pattern, re.ASCII))
    for kind, (methods, pattern) in ROUTES.items()
}


@dataclass(frozen=True)
class Open:
    """What a page opens. files: the folder of which files are given. also: where other routes
    begin, "/v1", which check what they are given. largest: bytes of a body."""

    interface: Interface = field(default_factory=Interface)
    files: Path | None = None
    also: Sequence[str] = ()
    largest: int = LARGEST_BODY


def kind_of(scope: Scope, also: Sequence[str] = ()) -> tuple[str, str]:
    """Of a request: its kind in `ROUTES`, "also" or "other"; and what of its path is a name."""
    path = scope["path"].removeprefix(scope.get("root_path", ""))  # decoded once, by the server
    for kind, (methods, pattern) in _PATTERNS.items():
        if (found := pattern.fullmatch(path)) and scope["method"] in methods:
            return kind, found.groupdict().get("name") or ""
    inside = any(path == prefix or path.startswith(f"{prefix}/") for prefix in also)
    return ("also" if inside else "other"), ""


class Guard:
    """ASGI middleware for all routes, see the module."""

    def __init__(self, app: ASGIApp, opened: Open | None = None) -> None:
        self.app, self.opened = app, opened or Open()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        try:
            body = await self._let_in(scope, receive)
        except Refused as refused:
            answer = JSONResponse({"detail": refused.note}, refused.status)
            return await answer(scope, receive, send)
        given = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def replayed() -> Message:
            return next(given, None) or await receive()

        await self.app(scope, replayed, send)

    async def _let_in(self, scope: Scope, receive: Receive) -> bytes:
        """The body that goes on; the headers that do not are taken out. Raises Refused."""
        kind, name = kind_of(scope, self.opened.also)
        if kind == "other":
            raise Refused(404, "There is nothing here.")
        headers = dict(scope["headers"])
        interface = self.opened.interface
        if kind == "file":
            _check_file(name, self.opened.files)
        elif kind == "stream":
            query = parse_qs(scope["query_string"].decode("latin-1"))
            check_stream(name or query.get("session_hash", [""])[0], interface)
        body = b""
        if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            body = await self._body(headers.get(b"content-length", b"0"), receive)
        if ROUTES.get(kind, ("",))[0] == "POST":
            type = headers.get(b"content-type", b"").decode("latin-1")
            body = checked(kind, name, type, body, interface)
        # ranges of small files are a source of faults, and the last is believed by Gradio alone
        out = (b"content-length", b"transfer-encoding", b"range", b"x-gradio-server")
        scope["headers"] = [
            *((key, value) for key, value in scope["headers"] if key not in out),
            (b"content-length", str(len(body)).encode()),
        ]
        return body

    async def _body(self, length: bytes, receive: Receive) -> bytes:
        """Raises Refused for one that is too large or too slow."""
        largest = self.opened.largest
        if not length.isdigit() or int(length) > largest:
            raise Refused(413, f"The body may have {largest:,} bytes.")
        parts, size = [], 0
        try:
            async with asyncio.timeout(SLOWEST_BODY):
                while True:
                    message = await receive()
                    part = message.get("body", b"")
                    parts.append(part)
                    size += len(part)
                    if size > largest:
                        raise Refused(413, f"The body may have {largest:,} bytes.")
                    if not message.get("more_body"):
                        return b"".join(parts)
        except TimeoutError:
            raise Refused(408, f"The body took longer than {SLOWEST_BODY} seconds.") from None


def _check_file(name: str, folder: Path | None) -> None:
    """Raises Refused for all but a file that really lies in the folder. Which of them there are is
    nobody's business: there is one answer for what is not there and what is not given."""
    try:
        file = Path(name)
        inside = folder and file.resolve().is_relative_to(folder.resolve())
        if inside and file.is_absolute() and file.is_file():
            return
    except (OSError, ValueError):
        pass
    raise Refused(404, "There is no such file.")
