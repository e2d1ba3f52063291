"""MCP: a language model's way to a picture, asked by the protocol's own client."""

import asyncio
import base64
from argparse import Namespace
from types import SimpleNamespace
from typing import Any

import pytest
from bare import bare
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from programs import free_port

from sdxs.metadata.reading import read
from sdxs.page import apps
from sdxs.picture import encode
from sdxs.programs.mounts import programs
from sdxs.server import start
from sdxs.service.about import About
from sdxs.service.making import Maker
from tests.browser.standin import Standin
from tests.forms.conftest import ABOUT


def test_the_tool_gives_the_marked_picture(page):
    async def ask() -> list[Any]:
        async with (
            streamable_http_client(f"{page.address}/mcp") as (there, back, *_),
            ClientSession(there, back) as session,
        ):
            await session.initialize()
            requests: list[dict[str, Any]] = [
                {"prompt": "a red house", "seed": 7},
                {"prompt": "a", "seed": -1},
                {"prompt": "a", "steps": 4},
                {"prompt": "boom"},
            ]
            answers = [await session.call_tool("generate", request) for request in requests]
            return [await session.list_tools(), *answers]

    listed, made, *wrong = asyncio.run(ask())
    (tool,) = listed.tools
    assert tool.name == "generate" and "house, boat" in tool.description
    assert tool.inputSchema["properties"]["style"]["enum"] == ["", *ABOUT.styles]
    picture, said = made.content
    file = base64.b64decode(picture.data)
    assert bare(file) == encode(page.standin.follow("a red house", 7))
    assert read(file, "it").parameters.prompt == "a red house"
    assert (picture.mimeType, said.text) == ("image/jpeg", "Seed: 7.")
    assert all(answer.isError for answer in wrong)
    notes = [answer.content[0].text for answer in wrong]
    assert notes[0].startswith("Seed must be a whole number from 0")
    assert notes[1].startswith("There is no steps here")
    assert "secret" not in notes[2]


@pytest.mark.parametrize("public", [True, False])
def test_strangers_have_no_tools(public, monkeypatch):
    told: dict[str, Any] = {}
    monkeypatch.setattr("sdxs.SDXS", SimpleNamespace(load=lambda *_, **__: Standin(0)))
    monkeypatch.setattr(About, "of", lambda *_, **__: ABOUT)
    monkeypatch.setattr("sdxs.page.ui.text_page", lambda *_, **options: told.update(options))
    options = start.parser(None).parse_args(["--public"] if public else [])
    apps.make_page("text", Namespace(**vars(options), safety=True))
    assert told["tools"] is not public
    routes = programs(Maker.local(Standin(0)), with_tools=told["tools"])["routes"]
    assert ("/mcp" in {route.path for route in routes}) is not public


def test_a_space_is_public(monkeypatch):
    monkeypatch.setenv("SPACE_ID", "someone/sdxs")
    for name in ("serve", "prepare_environment"):
        monkeypatch.setattr(start, name, lambda *_: None)
    options = start.parser(None).parse_args(["--port", free_port()])
    assert start.run(lambda _: None, options) == 0 and options.public
