"""The Model Context Protocol: a tool `generate` that answers with a picture, for language models.

Not Gradio's own server, which encodes each picture anew, without what its file says. Knows nothing
of other forms. Needs the extra `mcp`.
"""

import base64
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from sdxs.config import VERSION
from sdxs.picture import MIME
from sdxs.programs.form import data_url, model_name, note, refusal, seeds, unknown
from sdxs.programs.schemas import rows, schema
from sdxs.service.labels import LIVE
from sdxs.service.making import Maker

Lifespan = Callable[[Any], AbstractAsyncContextManager[None]]


def tools(maker: Maker, path: str) -> tuple[Route, Lifespan]:
    """The route, by streamable HTTP, and what has to last as long as the server does."""
    from mcp import types
    from mcp.server.lowlevel import Server
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    server: Any = Server("sdxs", VERSION)
    about = maker.about
    properties = {row.field: schema(row, maker) for row in rows(maker.rows)}
    told = f"Paint a picture, in one step, with {model_name(about)}: the same for the same request."
    if about.words:
        words = "; ".join(f"{name}: {', '.join(of)}" for name, of in about.words.items())
        told += f" The words it knows: {words}."
    generate = types.Tool(
        name="generate",
        description=told,
        inputSchema={"type": "object", "properties": properties, "required": ["prompt"]},
    )

    @server.list_tools()
    async def listed() -> list[types.Tool]:
        return [generate]

    @server.call_tool(validate_input=False)  # the table of options does, in its own words
    async def called(name: str, arguments: dict[str, Any]) -> list[Any]:
        for field in arguments:
            if field not in properties:
                raise unknown(field)
        (seed,) = seeds(arguments.get("seed"))
        asked = {**arguments, "seed": seed}
        if "drawing" in asked:
            asked["drawing"] = data_url(asked["drawing"])
        try:
            made = await maker.make(asked)
        except Exception as error:
            raise refusal(error) from None
        file, said = base64.b64encode(made.file).decode("ascii"), note(made, asked)
        return [
            types.ImageContent(type="image", data=file, mimeType=MIME[LIVE]),
            types.TextContent(type="text", text=" ".join(filter(None, [f"Seed: {seed}.", said]))),
        ]

    manager: Any = None

    @asynccontextmanager
    async def lasting(_: Any) -> AsyncIterator[None]:
        """One manager for each start of the server: it can be run but once."""
        nonlocal manager
        manager = StreamableHTTPSessionManager(server, json_response=True, stateless=True)
        async with manager.run():
            yield

    class App:
        """What a `Route` hands its requests to: a function would be given one, not three."""

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await manager.handle_request(scope, receive, send)

    return Route(path, App()), lasting
