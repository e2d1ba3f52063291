"""Who leaves before they are answered: what they asked for is cancelled.

For a plain request that is its handler. What a program asks for through Gradio's queue goes on in a
task of Gradio's own and is told by a stream: `Visits` knows it by the stream's name. A stream that
has begun ends by itself, as it would without this. Knows nothing of what is asked for.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sdxs.service.turns import STALE, Stale

Result = TypeVar("Result")
GONE: Message = {"type": "http.disconnect"}


class Visits:
    """What goes on for whom."""

    def __init__(self) -> None:
        self._tasks: dict[str, set[asyncio.Task[Any]]] = {}

    async def of(self, name: str, work: Coroutine[Any, Any, Result]) -> Result:
        """What the work gives. Raises Stale where who listens by this name has left."""
        task = asyncio.ensure_future(work)
        self._tasks.setdefault(name, set()).add(task)
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
            self._tasks[name].discard(task)
            if not self._tasks[name]:
                del self._tasks[name]
        if task.cancelled():
            raise Stale(STALE)
        return task.result()

    def left(self, name: str) -> None:
        for task in self._tasks.get(name, ()):
            task.cancel()


class Leaving:
    """ASGI middleware, see the module; the outermost of those that read bodies."""

    def __init__(self, app: ASGIApp, visits: Visits) -> None:
        self.app, self.visits = app, visits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        stream = stream_of(scope)
        read: asyncio.Queue[Message] = asyncio.Queue(1)  # one ahead of whoever reads the body
        gone = begun = False

        async def listen() -> None:
            nonlocal gone
            while (message := await receive())["type"] != GONE["type"]:
                await read.put(message)
            gone = True
            if stream:
                self.visits.left(stream)
            elif not begun:
                handler.cancel()
            await read.put(GONE)

        async def heard() -> Message:
            return GONE if gone and read.empty() else await read.get()

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        handler = asyncio.ensure_future(self.app(scope, heard, watched))
        listener = asyncio.create_task(listen())
        try:
            await handler
        except asyncio.CancelledError:
            if not gone:
                raise
        finally:
            listener.cancel()


def stream_of(scope: Scope) -> str:
    """The name of the stream by which Gradio tells a program how its request goes on, or ""."""
    path: str = scope["path"]
    if path.endswith("/queue/data"):
        named: list[str] = parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [])
        return "".join(named[:1])
    return path.rpartition("/")[2] if scope["method"] == "GET" and "/call/" in path else ""
