"""The plain form: JSON or a query to a picture's bytes, and what all forms share."""

import asyncio
import base64
import io
import threading
from typing import Any
from urllib.parse import unquote

import pytest
import requests
from bare import bare
from fastapi import Request
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from sdxs.picture import encode
from sdxs.programs.form import Refused, data_url, pictures
from sdxs.programs.mounts import programs
from sdxs.programs.plain import accepted
from sdxs.service import bounds
from sdxs.service.making import Maker
from tests.browser.standin import WINDOW, Standin
from tests.forms.conftest import ABOUT


@pytest.fixture(scope="module")
def address(page) -> str:
    return f"{page.address}/api"


def post(address: str, **asked: Any) -> requests.Response:
    return requests.post(f"{address}/picture", json=asked)


def test_json_in_a_picture_out(page, address):
    answer = post(address, prompt="a red house", seed=7)
    assert answer.headers["Content-Type"] == "image/jpeg" and answer.headers["X-Seed"] == "7"
    assert bare(answer.content) == encode(page.standin.follow("a red house", 7))
    assert 'filename="a-red-house-7.jpeg"' in answer.headers["Content-Disposition"]
    assert post(address, prompt="a red house", seed="7").content == answer.content
    query = {"prompt": "a red house", "seed": 7}
    assert requests.get(f"{address}/picture", query).content == answer.content


def test_the_kind_of_file(address):
    picture = post(address, prompt="a", seed=1, format="webp")
    assert Image.open(io.BytesIO(picture.content)).format == "WEBP"
    wanted = requests.get(
        f"{address}/picture", {"prompt": "a", "seed": 1}, headers={"Accept": "image/png"}
    )
    assert Image.open(io.BytesIO(wanted.content)).format == "PNG"
    for accept, format in [
        ("*/*", "jpeg"),
        ("image/avif,image/webp,image/png,image/*;q=0.8,*/*;q=0.5", "webp"),
        ("image/png;q=0.9, image/jpeg;q=0.1", "png"),
        ("text/html;q=x, application/json", "jpeg"),
    ]:
        assert accepted(accept) == format


def test_an_address_may_be_kept(page, address):
    query = {"prompt": "kept", "seed": "4", "style": "anime"}
    first = requests.get(f"{address}/picture", query)
    assert first.headers["Cache-Control"] == "public, max-age=86400"
    tag, before = first.headers["ETag"], page.standin.made.count("kept")
    again = requests.get(f"{address}/picture", query, headers={"If-None-Match": f'"x", {tag}'})
    assert (again.status_code, again.content) == (304, b"")
    assert page.standin.made.count("kept") == before == 1
    for other in ({"seed": "5"}, {"style": ""}, {"format": "png"}):
        answer = requests.get(f"{address}/picture", query | other, headers={"If-None-Match": tag})
        assert answer.status_code == 200
    answer = requests.get(f"{address}/picture", {"prompt": "kept"}, headers={"If-None-Match": tag})
    assert answer.headers["Cache-Control"] == "no-store" and "ETag" not in answer.headers


def test_a_seed_is_chosen_and_told(address):
    seeds = {post(address, prompt="a").headers["X-Seed"] for _ in range(3)}
    assert len(seeds) == 3
    seed = seeds.pop()
    assert post(address, prompt="a", seed=seed).headers["X-Seed"] == seed


def test_what_is_to_be_said_of_a_picture_fits_a_header(address):
    answer = post(address, prompt="a" * WINDOW + "50 % Öl")
    assert unquote(answer.headers["X-Warning"]) == "not seen: 50 % Öl"
    assert answer.headers["X-Warning"].isascii()
    assert "X-Warning" not in post(address, prompt="a").headers


def test_a_drawing_is_base64_or_a_data_url(page, address, drawn):
    raw = base64.encodebytes(encode(drawn, "png")).decode("ascii")  # with line ends
    steered = {"control": "canny", "control_scale": 0.5}
    image = page.standin.condition("canny", drawn)
    wanted = page.standin.follow("a", 1, control_image=image, **steered)
    for drawing in (raw, data_url(raw)):
        answer = post(address, prompt="a", seed=1, drawing=drawing, condition="canny", strength=0.5)
        assert bare(answer.content) == encode(wanted)
    blank = data_url(base64.b64encode(encode(Image.new("RGB", (8, 8), "white"), "png")).decode())
    assert (
        "this is the prompt alone" in post(address, prompt="a", drawing=blank).headers["X-Warning"]
    )


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "The prompt is missing: say what you would like to see."),
        ({"prompt": ""}, "The prompt is empty: say what you would like to see."),
        ({"prompt": 7}, "Prompt must be a string"),
        ({"prompt": "a", "seed": 1.5}, "Seed must be a whole number from 0 to"),
        ({"prompt": "a", "style": "anime", "style_scale": 3}, "Style scale must be from 0 to 2"),
        ({"prompt": "a", "decoder": ["tiny"]}, "Decoder must be 'tiny', 'large'"),
        ({"prompt": "a", "drawing": "http://a/b.png"}, "no PNG, JPEG or WebP"),
        ({"prompt": "a", "drawing": "AAAA"}, "PNG, JPEG or WebP"),
        ({"prompt": "a", "size": 512}, "There is no size here: leave it out"),
        ({"prompt": "a", "\ud83e": 1}, "The body must be a JSON object"),
        ({"prompt": "a", "format": "gif"}, "Field format: input should be"),
        ({"prompt": "a" * (bounds.LONGEST_PROMPT + 1)}, "longer than"),
    ],
)
def test_a_mistake_is_told_in_a_line(address, asked, message):
    answer = post(address, **asked)
    said = answer.json()["error"]
    assert answer.status_code == 400 and message in said
    assert "\n" not in said and len(said) < 300


@pytest.mark.parametrize("body", ["", "{", "[1]", '"a"', "null", "[" * 5000])
def test_what_is_no_request(address, body):
    sent = {"Content-Type": "application/json"}
    answer = requests.post(f"{address}/picture", body, headers=sent)
    assert answer.status_code == 400 and answer.json()["error"].count(".") == 1


def test_errors_that_are_no_mistake_of_a_request(address):
    broken = post(address, prompt="boom")
    assert broken.status_code == 500 and "secret" not in broken.text
    lost = requests.get(f"{address}/nothing")
    assert (lost.status_code, lost.json()) == (404, {"error": "GET /api/nothing: Not Found."})
    mistaken = requests.put(f"{address}/picture")
    assert (mistaken.status_code, mistaken.headers["Allow"]) == (405, "GET, POST")
    assert requests.post(f"{address}/options").headers["Allow"] == "GET"


def test_what_may_be_asked_for(page, address):
    said = requests.get(f"{address}/options").json()
    assert (said["model"], said["size"]) == (ABOUT.checkpoint, "128x128")
    known = said["options"]
    assert known["style"]["enum"] == ["", "anime", "woodcut"]
    assert (known["strength"]["minimum"], known["strength"]["maximum"]) == (0, 2)
    assert known["seed"]["exclusiveMaximum"] == 2**63
    for form in ("v1", "api", "sdapi/v1", "controlnet"):
        told = requests.get(f"{page.address}/{form}/openapi.json").json()
        assert told["servers"] == [{"url": f"/{form}"}]
        assert all("422" not in way["responses"] for of in told["paths"].values()
                   for way in of.values())  # fmt: skip
        assert requests.get(f"{page.address}/{form}/docs").status_code == 404
    asked = requests.get(f"{address}/openapi.json").json()["components"]["schemas"]["Asked"]
    assert set(asked["properties"]) == {*known, "format"} and asked["required"] == ["prompt"]
    assert asked["properties"]["style"] == known["style"]


def test_who_leaves_is_not_painted_for():
    free = threading.Event()

    class Held(Standin):
        def __call__(self, prompt: Any, **asked: Any) -> Any:
            free.wait(60)
            return super().__call__(prompt, **asked)

    async def left() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def ask() -> None:
        first = asyncio.create_task(maker.make({"prompt": "first", "seed": 1}))
        with pytest.raises(Refused, match="Nobody waits"):
            await pictures(Request({"type": "http"}, left), maker, {"prompt": "b"}, [1, 2], "png")
        free.set()
        await first
        await maker.make({"prompt": "last", "seed": 1})

    held = Held(0)
    maker = Maker.local(held)
    asyncio.run(ask())
    assert held.made == ["first", "last"]


@pytest.mark.parametrize(
    ("root_path", "before"),
    [
        ("", "http://testserver/"),
        ("/pictures", "http://testserver/pictures/"),
        ("https://example.com/p", "https://example.com/p/"),
    ],
)
def test_addresses_are_those_that_visitors_see(root_path, before):
    app = Starlette(**programs(Maker.local(Standin(0)), root_path))
    asked = {"prompt": "a", "seed": 1, "response_format": "url"}
    answer = TestClient(app).post("/v1/images/generations", json=asked).json()
    assert answer["data"][0]["url"] == f"{before}api/picture?prompt=a&seed=1&format=png"
