"""One public page for all that is asked of it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from programs import served

from sdxs.page.ui import Page, text_page
from sdxs.server.front import Front
from server.asking import CALL, VALUES, ask


def generate(prompt: str, *, seed: int, **others: Any) -> Image.Image:
    return Image.new("RGB", (32, 32), (len(prompt) % 256, seed % 256, 9))


@pytest.fixture(scope="package")
def front() -> Front:
    return Front(public=True, frames=("https://example.com",))


@pytest.fixture(scope="package")
def page(front: Front) -> Iterator[Page]:
    page = text_page(generate)
    with served(page, front=front):
        yield page


@pytest.fixture(scope="package")
def file(page: Page) -> Path:
    """A picture that a program asked for."""
    status, _, said = ask(page, "POST", CALL, {"data": VALUES})
    assert status == 200
    event = json.loads(said)["event_id"]
    stream = ask(page, "GET", f"{CALL}/{event}")[2].decode()
    assert "event: complete" in stream
    return Path(json.loads(stream.split("data: ")[-1])[0]["path"])
