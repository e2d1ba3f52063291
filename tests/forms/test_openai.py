"""OpenAI's form, asked by OpenAI's own client."""

import base64
import io
from typing import Any

import pytest
import requests
from openai import BadRequestError, InternalServerError, NotFoundError, OpenAI, RateLimitError
from PIL import Image

from sdxs.metadata.reading import read
from sdxs.service import turns
from tests.forms.conftest import ABOUT


@pytest.fixture(scope="module")
def client(page) -> OpenAI:
    return OpenAI(base_url=f"{page.address}/v1", api_key="none", max_retries=0)


def shown(file: bytes) -> bytes:
    """A file's pixels."""
    return Image.open(io.BytesIO(file)).convert("RGB").tobytes()


def test_pictures_of_one_batch(page, client):
    page.standin.batches.clear()
    asked: dict[str, Any] = {"prompt": "a red house", "n": 2, "size": "128x128", "quality": "high"}
    answer = client.images.generate(
        **asked, model="someone/house", response_format="b64_json", extra_body={"seed": 5}
    )
    assert page.standin.batches == [[5, 6]]
    assert [one.model_extra["seed"] for one in answer.data] == [5, 6]
    for one, seed in zip(answer.data, (5, 6), strict=True):
        file = base64.b64decode(one.b64_json)
        assert shown(file) == page.standin.follow("a red house", seed).tobytes()
        assert Image.open(io.BytesIO(file)).format == "PNG"


def test_an_address_is_of_the_same_file(client):
    asked: dict[str, Any] = {
        "prompt": "été & <boat>", "output_format": "webp",
        "extra_body": {"seed": 2**63 - 1, "style": "anime", "style_scale": 0.5, "template": "sea"},
    }  # fmt: skip
    (here,) = client.images.generate(**asked).data
    (there,) = client.images.generate(**asked, response_format="url").data
    file = requests.get(there.url)
    assert file.headers["Content-Type"] == "image/webp"
    assert file.content == base64.b64decode(here.b64_json)
    said = read(file.content, "it").parameters
    assert said.prompt == "été & <boat> on the sea"
    assert (said.settings["Style scale"], said.settings["Seed"]) == ("0.5", str(2**63 - 1))


def test_a_seed_is_chosen_and_told(client):
    first, second = (client.images.generate(prompt="a") for _ in range(2))
    seed = first.data[0].model_extra["seed"]
    assert seed != second.data[0].model_extra["seed"]
    again = client.images.with_raw_response.generate(prompt="a", extra_body={"seed": seed})
    assert again.parse().data[0].b64_json == first.data[0].b64_json
    assert again.headers["X-Seed"] == str(seed)


def test_a_stream_has_the_picture_at_its_end(page, client):
    events = list(client.images.generate(prompt="a", stream=True, extra_body={"seed": 3}))
    assert [event.type for event in events] == ["image_generation.completed"]
    file = base64.b64decode(events[0].b64_json)
    assert shown(file) == page.standin.follow("a", 3).tobytes()


@pytest.mark.parametrize(
    ("asked", "param", "message"),
    [
        ({"prompt": " "}, None, "The prompt is empty: say what you would like to see."),
        ({"n": 9}, "n", "Field n: input should be less than or equal to 8."),
        ({"size": "1024x1024"}, "size", "Size must be 128x128 or auto: this model has no other."),
        ({"background": "transparent"}, "background", "Field background: input should be 'auto'"),
        ({"output_compression": 50}, "output_compression", "cannot be chosen here: leave it out"),
        ({"extra_body": {"seed": -1}}, None, "Seed must be a whole number from 0"),
        ({"extra_body": {"style": "fur"}}, None, "Style must be 'anime', 'woodcut', not 'fur'."),
        ({"extra_body": {"steps": 4}}, "steps", "one-step model"),
        ({"extra_body": {"sampler": "x"}}, "sampler", "There is no sampler here: leave it out"),
        ({"extra_body": {"negative_prompt": "x"}}, "negative_prompt", "one-step model"),
        ({"response_format": "url", "prompt": ""}, None, "The prompt is empty"),
        ({"response_format": "url", "prompt": "a" * 9000}, "response_format", "ask for b64_json"),
    ],
)
def test_a_mistake_is_told_in_a_line(client, asked, param, message):
    with pytest.raises(BadRequestError) as caught:
        client.images.generate(**{"prompt": "a", **asked})
    said = caught.value.body
    assert message in said["message"] and "\n" not in said["message"]
    assert (said["type"], said["param"]) == ("invalid_request_error", param)


def test_what_only_says_how_hard_to_try_is_no_mistake(client):
    more: dict[str, Any] = {"user": "me", "moderation": "low", "background": "opaque"}
    answer = client.images.generate(
        prompt="a", size="auto", style="vivid", output_compression=100, **more
    )
    assert (answer.size, answer.output_format) == ("128x128", "png")


def test_errors_that_are_nobodys_mistake(client, monkeypatch):
    with pytest.raises(InternalServerError) as caught:
        client.images.generate(prompt="boom")
    assert "secret" not in str(caught.value.body) and caught.value.type == "server_error"
    monkeypatch.setattr(turns, "MOST_WAITING", 0)
    monkeypatch.setattr(turns.Turns, "_pause", lambda _: 7)  # what the queue says
    with pytest.raises(RateLimitError) as crowded:
        client.images.generate(prompt="a")
    assert crowded.value.response.headers["Retry-After"] == "7"
    assert crowded.value.body["message"] == turns.CROWDED


def test_models(client):
    assert [model.id for model in client.models.list()] == [ABOUT.checkpoint]
    assert client.models.retrieve(ABOUT.checkpoint).owned_by == "sdxs"
    for ask, name in ((client.models.retrieve, "model"), (client.images.generate, "prompt")):
        with pytest.raises(NotFoundError) as caught:
            ask(**{name: "x", "model": "x"})
        assert caught.value.code == "model_not_found"
