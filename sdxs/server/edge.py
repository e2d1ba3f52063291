"""The outermost layer: what every answer says of itself, and what is told of every request.

No error passes it: whatever breaks inside is one line to whoever asked, and the log has the rest.
Knows nothing of routes but their kinds.
"""

import logging
import re
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sdxs.server import logs
from sdxs.server.guard import kind_of
from sdxs.server.limits import address
from sdxs.server.sites import Sites

log = logging.getLogger(__name__)
told = logging.getLogger("sdxs.told.requests")

CREDENTIALS = b"access-control-allow-credentials"  # there is no login that other sites may use
BROKEN = "Something went wrong here; the same request may well work a little later."
_HOST = re.compile(rb"(?:[\w.-]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?", re.ASCII)
_ORIGIN = re.compile(rb"null|[a-zA-Z][\w+.-]*://" + _HOST.pattern, re.ASCII)
_READ = {  # header that Gradio makes addresses of -> what it must be
    b"host": _HOST,
    b"x-forwarded-host": re.compile(_HOST.pattern + rb"(?:, *" + _HOST.pattern + rb")*", re.ASCII),
    b"origin": _ORIGIN,
}


def policy(frames: Sequence[str]) -> str:
    """The Content-Security-Policy. frames: origins on whose pages this one may be shown, beside its
    own. Gradio makes functions of text, and writes scripts and styles into its page."""
    return "; ".join((
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "connect-src 'self' data: blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        " ".join(("frame-ancestors 'self'", *frames)),
    ))  # fmt: skip


class Edge:
    """ASGI middleware around all others. answered: hears of each request's kind, status and
    address. sites: that may use the page, None for all."""

    def __init__(
        self,
        app: ASGIApp,
        frames: Sequence[str] = (),
        also: Sequence[str] = (),
        answered: Callable[[str, int, str], None] = lambda kind, status, who: None,
        sites: Sites | None = None,
    ) -> None:
        self.app, self._also, self._answered, self._sites = app, also, answered, sites
        self._headers = [
            (b"content-security-policy", policy(frames).encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"same-origin"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        scope = _below_root(scope)
        who, start, status = address(scope), time.perf_counter(), 0
        kind = kind_of(scope, self._also)[0]  # before a router changes the scope
        logs.visitor.set(logs.hashed(who))

        async def headed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._answered(kind, status, who)
                kept = (one for one in message.get("headers", ()) if one[0].lower() != CREDENTIALS)
                message = {**message, "headers": [*kept, *self._headers]}
            await send(message)

        wrong = _wrong(scope)
        foreign = "" if wrong or not self._sites else self._sites.refusal(scope)
        try:
            if refusal := wrong or foreign:  # the rest of it may be taken for the next request
                code = 400 if wrong else 403
                answer = JSONResponse({"detail": refusal}, code, {"Connection": "close"})
                await answer(scope, receive, headed)
            else:
                await self.app(scope, receive, headed)
        except Exception as error:
            log.error("%s %s broke", scope["method"], scope["path"][:200], exc_info=error)
            if not status:
                await JSONResponse({"detail": BROKEN}, 500)(scope, receive, headed)
        finally:
            told.info(
                "%s", kind,
                extra={"fields": {
                    "method": scope["method"], "route": kind, "status": status,
                    "ms": round(1000 * (time.perf_counter() - start), 1),
                    "visitor": logs.visitor.get(),
                }},
            )  # fmt: skip


def _below_root(scope: Scope) -> Scope:
    """As ASGI has it, a path begins with the root path: which may be a whole address here, and
    which a proxy may have taken away."""
    root, path = urlsplit(scope.get("root_path", "")).path.rstrip("/"), scope["path"]
    if path != root and not path.startswith(f"{root}/"):
        path = root + path
    return {**scope, "root_path": root, "path": path}


def _wrong(scope: Scope) -> str:
    """What is wrong with a request's head. A proxy may read two lengths in another way."""
    if scope["http_version"] not in ("1.0", "1.1"):
        return f"There is no HTTP {scope['http_version']} here."
    for name, value in scope["headers"]:
        if name in _READ and not _READ[name].fullmatch(value.strip()):
            return f"The header {name.decode('latin-1')} is no address."
    names = [name for name, _ in scope["headers"]]
    if {b"content-length", b"transfer-encoding"} <= {*names}:
        return "The body has two lengths."
    old = scope["http_version"] == "1.0" and not {b"host", b"origin"} & {*names}
    if names.count(b"host") != 1 and not old:
        return "The header host must be there once."
    return ""
