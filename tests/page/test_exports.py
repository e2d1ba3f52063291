"""Films for visitors: what is painted, in whose turn, and what becomes of those who leave."""

import asyncio
import base64
import io
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

from sdxs.errors import SafetyWarning
from sdxs.page import exports
from sdxs.page.answers import Answers
from sdxs.page.exports import FORGOTTEN, Exports
from sdxs.picture import encode
from sdxs.service.about import About
from sdxs.service.drawings import data_url

WAY = {"prompt": "a", "seed": 3, "to_prompt": "b", "walk": 0.9}


class Painter:
    """Pictures whose shade is how far they are. It notes what it was told, and `then` happens."""

    def __init__(self, then: Callable[[], Any] = lambda: None) -> None:
        self.told: list[dict[str, Any]] = []
        self.then = then

    def __call__(self, prompt: str, **told: Any) -> Image.Image:
        self.told.append({"prompt": prompt, **told})
        self.then()
        shade = round(200 * told.get("walk", 0))
        return Image.fromarray(np.full((32, 32, 3), shade, np.uint8))

    def walks(self) -> list[float]:
        return [told["walk"] for told in self.told if "walk" in told]


def film_of(answer: dict[str, Any]) -> list[int]:
    """The shades of a film's frames."""
    file = base64.b64decode(answer["file"].partition(",")[2])
    with Image.open(io.BytesIO(file)) as film:
        return [frame.convert("L").getpixel((9, 9)) for frame in ImageSequence.Iterator(film)]


def asked(visitor: str = "me", **others: Any) -> dict[str, Any]:
    return {"visitor": visitor, "request": WAY, "frames": 5, "format": "webp", **others}


async def ended(films: Exports, visitor: str = "me") -> dict[str, Any]:
    while True:
        answer = await films.progress({"visitor": visitor})
        if "note" in answer:
            return dict(answer)
        await asyncio.sleep(0.01)


def visit(painter: Painter, then: Callable[[Exports], Awaitable[Any]], **about: Any) -> Any:
    """What comes of a visit to a page on the painter."""

    async def visiting() -> Any:
        condition = (lambda _, picture: picture.convert("L")) if about else None
        answers = Answers.local(painter, About(size=(32, 32), **about), condition)
        return await asyncio.wait_for(then(Exports(answers)), 60)

    return asyncio.run(visiting())


def test_a_film_leads_from_one_to_the_other():
    painter = Painter()

    async def then(films: Exports) -> tuple[Any, Any]:
        return await films.begin(asked()), await ended(films)

    begun, answer = visit(painter, then)
    assert begun == {"done": 0, "of": 5}
    assert painter.walks() == [0, 0.25, 0.5, 0.75, 1]  # wherever the slider is
    assert {(told["prompt"], told["to_prompt"], told["seed"]) for told in painter.told} == {
        ("a", "b", 3)
    }
    assert np.abs(np.array(film_of(answer)) - [0, 50, 100, 150, 200]).max() < 4
    assert (answer["name"], answer["note"], answer["done"]) == ("walk-a-3.webp", "", 5)


def test_and_back():
    painter = Painter()

    async def then(films: Exports) -> Any:
        await films.begin(asked(frames=4, loop=True))
        return await ended(films)

    visit(painter, then)
    assert painter.walks() == [0, 0.5, 1, 0.5]


def test_a_drawing_is_followed_in_every_frame_and_a_template_put_around_both_ends():
    painter = Painter()
    drawn = Image.new("RGB", (16, 16), "white")
    drawn.putpixel((3, 3), (0, 0, 0))
    request = {**WAY, "drawing": data_url(encode(drawn, "png"), "png"), "template": "sea"}

    async def then(films: Exports) -> Any:
        await films.begin(asked(request=request))
        return await ended(films)

    answer = visit(painter, then, conditions=("sketch",), templates={"sea": "{prompt} at sea"})
    assert "file" in answer
    assert {told["control"] for told in painter.told} == {"sketch"}
    assert len({id(told["control_image"]) for told in painter.told}) == 1  # made once
    assert {(told["prompt"], told["to_prompt"]) for told in painter.told} == {
        ("a at sea", "b at sea")
    }


def test_whoever_types_goes_first():
    painter = Painter()

    async def then(films: Exports) -> None:
        await films.begin(asked(frames=20))
        while not painter.walks():
            await asyncio.sleep(0)
        for prompt in "xyz":  # typed one after the other
            await films._answers.make({"prompt": prompt, "seed": 0})
        assert len(painter.walks()) < 20  # each waited for a frame at most
        await ended(films)

    visit(painter, then)
    order = [told["prompt"] for told in painter.told]
    typed = [place for place, prompt in enumerate(order) if prompt in "xyz"]
    assert len(typed) == 3 and typed[-1] - typed[0] <= 4


def test_a_film_stops_and_makes_way_for_the_visitors_next_one():
    painter = Painter()

    async def then(films: Exports) -> Any:
        await films.begin(asked(frames=200))
        while not painter.walks():
            await asyncio.sleep(0)
        await films.begin(asked(frames=200))
        assert len(films._jobs) == 1
        await films.stop({"visitor": "me"})
        for _ in range(20):
            await asyncio.sleep(0.01)
        before = len(painter.told)
        await asyncio.sleep(0.2)
        assert len(painter.told) == before < 200 and not films._jobs
        return await films.progress({"visitor": "me"})

    assert visit(painter, then) == {"note": FORGOTTEN, "kind": "error"}


def test_there_are_not_too_many_and_who_leaves_makes_room(monkeypatch):
    monkeypatch.setattr(exports, "MOST_FILMS", 2)

    async def then(films: Exports) -> list[Any]:
        for visitor in "ab":
            await films.begin(asked(visitor, frames=200))
        full = await films.begin(asked("c"))
        monkeypatch.setattr(exports, "HASTE", -1)
        found = [full, await films.begin(asked("c"))]
        assert list(films._jobs) == ["c"]
        await films.stop({"visitor": "c"})
        return found

    full, room = visit(Painter(), then)
    assert full["note"] == exports.CROWDED and room == {"done": 0, "of": 5}


def test_what_goes_wrong_is_said_in_a_line():
    def broken() -> None:
        raise RuntimeError("a secret of the server")

    async def then(films: Exports) -> Any:
        await films.begin(asked())
        return await ended(films)

    said = visit(Painter(broken), then)
    assert said["kind"] == "error" and "secret" not in said["note"]

    async def wrong(films: Exports) -> list[Any]:
        plain = {"prompt": "a", "seed": 3}
        return [
            (await films.begin(asked(**others)))["note"]
            for others in (
                {"request": plain}, {"request": "x"}, {"frames": 241}, {"format": "gif"},
                {"request": {**plain, "to_seed": "x"}},
            )
        ] + [(await films.begin(3))["kind"]]  # fmt: skip

    assert visit(Painter(), wrong) == [
        "Say where to: another prompt, another seed, or both.",
        "Prompt must be a string or a list of strings, not of NoneType.",
        "Frames must be a whole number from 2 to 240, not 241.",
        "Format must be 'webp', 'mp4', not 'gif'.",
        "To seed must be a whole number from 0 to 9223372036854775807, not 'x'.",
        "error",
    ]


def test_large_pictures_make_short_films():
    films = Exports(Answers.local(Painter(), About(size=(1024, 1024))))
    assert (films.most, films.counts) == (61, [24, 48])
    assert Exports(Answers.local(Painter(), About())).counts == [24, 48, 96, 240]


@pytest.mark.filterwarnings("ignore")
def test_what_is_said_of_a_frame_is_said_of_the_film():
    import warnings

    async def then(films: Exports) -> Any:
        await films.begin(asked())
        return await ended(films)

    said = visit(Painter(lambda: warnings.warn(SafetyWarning("blurred", [0]), stacklevel=1)), then)
    assert said["note"] == "blurred" and "file" in said
