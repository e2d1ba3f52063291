"""A page is up when its server is, however long that takes."""

import socket
import time
from typing import Any

import pytest
import requests
import uvicorn
from programs import served

from sdxs.page.ui import text_page
from tests.browser.standin import Standin


def test_a_slow_start_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than Gradio's own five seconds, and by a server that cannot be started twice."""
    startup, began = uvicorn.Server.startup, []

    async def slow(server: uvicorn.Server, sockets: Any) -> None:
        began.append(server.config.port)
        time.sleep(6)
        await startup(server, sockets)

    monkeypatch.setattr(uvicorn.Server, "startup", slow)
    with served(text_page(Standin(0), tools=True)) as address:
        assert requests.get(f"{address}healthz", timeout=60).ok
    assert len(began) == 1


def test_a_port_that_is_taken_meanwhile_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The page takes the next one, and stands before it once."""
    startup, taken = uvicorn.Server.startup, []

    async def late(server: uvicorn.Server, sockets: Any) -> None:
        if not taken:
            taken.append(socket.create_server(("127.0.0.1", server.config.port)))
        await startup(server, sockets)

    monkeypatch.setattr(uvicorn.Server, "startup", late)
    with served(text_page(Standin(0), tools=True), server_port=None) as address:
        answer = requests.get(f"{address}healthz", timeout=60)
        assert answer.ok and answer.headers["Referrer-Policy"].count("same-origin") == 1
        assert not address.endswith(f":{taken[0].getsockname()[1]}/")
    taken[0].close()
