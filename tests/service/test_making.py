"""Pictures that hang or fail: who is told, and that the next ones work."""

import asyncio
import threading
from typing import Any

import pytest
from PIL import Image

from sdxs.service import told, turns
from sdxs.service.making import Maker
from sdxs.service.turns import Crowded, Stale, Stuck, Unable


def request(prompt: str) -> dict[str, Any]:
    return {"prompt": prompt, "seed": 1}


def test_a_picture_that_hangs_is_given_up_and_another_model_paints_the_next():
    hang, painted = threading.Event(), []

    def painter(name: str) -> Any:
        def generate(prompt: str, *, seed: int) -> Image.Image:
            if prompt == "fails":
                raise RuntimeError("a secret")
            painted.append((name, prompt))
            if prompt == "hangs":
                assert hang.wait(60)
            return Image.new("RGB", (8, 8))

        return generate

    def rebuilt() -> Any:
        own._turns._patience = 60
        return painter("second"), None

    own = Maker.local(painter("first"), rebuilt=rebuilt)

    async def visits() -> list[Any]:
        await own.make(request("a"))
        own._turns._patience = 0.05
        asked = [asyncio.ensure_future(own.make(request(p))) for p in ("hangs", "fails", "b")]
        found = await asyncio.gather(*asked, return_exceptions=True)
        hang.set()
        return found

    stuck, failed, made = asyncio.run(visits())
    assert isinstance(stuck, Stuck) and isinstance(failed, RuntimeError) and made.file
    assert painted == [("first", "a"), ("first", "hangs"), ("second", "b")]
    assert not own.broken


@pytest.mark.parametrize(
    ("error", "status", "after"),
    [
        (Crowded(turns.CROWDED, 7), 429, 7),
        (Unable(turns.ENDING), 503, 1),
        (Stale(turns.STALE), 409, 0),
        (Stuck(turns.STUCK.format(60)), 504, 0),
        (RuntimeError("a secret"), 500, 0),
    ],
)
def test_what_is_told(error, status, after):
    said = told.told(error)
    assert (said.status, said.after, said.again) == (status, after, bool(after))
    assert "secret" not in said.note
