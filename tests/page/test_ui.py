"""The served page without a browser: the interface for programs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bare import bare
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image
from programs import served

from sdxs.metadata.reading import read
from sdxs.page.ui import Page, sketch_page, text_page
from sdxs.picture import encode
from sdxs.service.about import About
from sdxs.service.drawings import data_url


def generate(prompt: str, *, seed: int, **others: Any) -> Image.Image:
    if prompt == "boom":
        raise RuntimeError("a secret of the server")
    shade = 99 + round(99 * others.get("walk", 0))
    return Image.new("RGB", (32, 32), (len(prompt) % 256, seed % 256, shade))


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    page = text_page(generate)
    with served(page):
        yield page


@pytest.fixture(scope="module")
def client(page: Page) -> Client:
    return Client(page.local_url, verbose=False)


def test_generate_gives_the_bytes_that_the_page_shows(client):
    file = client.predict(prompt="a red house", seed=7, api_name="/generate")
    assert bare(Path(file).read_bytes()) == encode(generate("a red house", seed=7))
    assert read(Path(file), "it").parameters.prompt == "a red house"
    for given, seed in (([2**63 - 1], 2**63 - 1), ([], 0)):
        file = client.predict("a red house", *given, api_name="/generate")
        assert bare(Path(file).read_bytes()) == encode(generate("a red house", seed=seed))


@pytest.mark.parametrize(
    ("prompt", "seed", "message"),
    [("", 0, "The prompt is empty"), ("a", -1, "Seed must be"), ("a", "x", "whole number .* 'x'")],
)
def test_generate_explains_a_mistake(client, prompt, seed, message):
    with pytest.raises(AppError, match=message):
        client.predict(prompt, seed, api_name="/generate")


def test_generate_tells_no_secrets(client):
    with pytest.raises(AppError) as caught:
        client.predict("boom", 0, api_name="/generate")
    assert "secret" not in str(caught.value)


def test_generate_is_all_that_programs_see(client):
    named = client.view_api(return_format="dict")
    assert list(named["named_endpoints"]) == ["/generate", "/walk"]
    assert not named["unnamed_endpoints"]
    parameters = named["named_endpoints"]["/generate"]["parameters"]
    names = [one["parameter_name"] for one in parameters]
    assert names == ["prompt", "seed", "to_prompt", "to_seed", "walk"]
    parameters = named["named_endpoints"]["/walk"]["parameters"]
    of_film = {one["parameter_name"]: one["python_type"]["type"] for one in parameters[4:]}
    assert of_film == {"frames": "int", "format": "Literal['webp', 'mp4']", "loop": "bool"}


def test_a_film_for_a_program(client):
    file = client.predict("a", 1, "b", frames=5, loop=True, api_name="/walk")
    with Image.open(file) as film:
        assert (film.format, film.size, film.info["loop"]) == ("WEBP", (32, 32), 0)
    assert Path(file).name == "walk-a-1.webp"
    for asked, message in [
        ({"to_prompt": " "}, "Say where to: another prompt, another seed, or both."),
        ({"to_seed": "x"}, "To seed must be a whole number"),
        ({"to_seed": 2, "frames": 1}, "Frames must be a whole number from 2 to 240"),
    ]:
        with pytest.raises(AppError, match=message):
            client.predict("a", 1, **asked, api_name="/walk")


def test_generate_of_a_canvas_follows_a_drawing():
    """The same bytes as the page's, for a drawing given as a data URL."""

    def follow(prompt: str, *, seed: int, **steer: Any) -> Image.Image:
        shade = steer["control_image"].getpixel((0, 0)) if steer else 7
        return Image.new("RGB", (32, 32), (shade, round(100 * steer.get("control_scale", 0)), 9))

    page = sketch_page(
        follow, lambda name, picture: picture.convert("L"), about=About(conditions=("sketch",))
    )
    with served(page) as address:
        client = Client(address, verbose=False)
        drawn = Image.new("RGB", (8, 8), (90, 90, 90))
        drawn.putpixel((7, 7), (0, 0, 0))
        url = data_url(encode(drawn, "png"), "png")
        file = client.predict("a", 1, url, 0.5, api_name="/generate")
        image = drawn.convert("L")
        wanted = follow("a", seed=1, control_image=image, control_scale=0.5)
        assert bare(Path(file).read_bytes()) == encode(wanted)
        file = client.predict("a", 1, api_name="/generate")
        assert bare(Path(file).read_bytes()) == encode(follow("a", seed=1))
        with pytest.raises(AppError, match="not a PNG, JPEG or WebP"):
            client.predict("a", 1, "data:text/html;base64,PGI+", api_name="/generate")
