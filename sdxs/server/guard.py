"""What is refused before it reaches Gradio: too large a body, and files fetched from elsewhere.

Gradio's file route streams any `http` address through the server, and its bodies have no limit;
both are closed here for every route at once. Knows nothing of pages or models.
"""

from urllib.parse import unquote

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = 16 * 2**20  # bytes; a drawing of 8 MB in base64 fits


class BodyTooLarge(Exception):
    """The body grew beyond what its header announced."""


class Guard:
    """ASGI middleware for all routes, see the module."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        if is_foreign_file(scope["path"]):
            return await PlainTextResponse("No files from elsewhere.", 403)(scope, receive, send)

        refuse = PlainTextResponse(f"The body may have {LARGEST_BODY} bytes.", 413)
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > LARGEST_BODY:
            return await refuse(scope, receive, send)

        size, answered = 0, False

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > LARGEST_BODY:
                raise BodyTooLarge
            return message

        async def watched(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self.app(scope, counted, watched)
        except BodyTooLarge:
            if not answered:
                await refuse(scope, receive, send)


def is_foreign_file(path: str) -> bool:
    """Whether a path asks the file route for an address, in whatever encoding."""
    for _ in range(4):
        path = unquote(path)
    _, found, rest = path.lower().partition("/file")
    return bool(found) and ("http:" in rest or "https:" in rest or "//" in rest.lstrip("=/"))
