"""stable-diffusion-webui's form, asked by a client that is written for it."""

import json
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import webuiapi
from PIL import Image
from webuiapi import ControlNetUnit, WebUIApi

from sdxs.metadata.parameters import parsed
from tests.forms.conftest import ABOUT


@pytest.fixture(scope="module")
def client(page) -> WebUIApi:
    place = urlsplit(page.address)
    return WebUIApi(host=place.hostname, port=place.port)


def paint(client: WebUIApi, prompt: str = "a", **asked: Any) -> Any:
    return client.txt2img(prompt=prompt, alwayson_scripts={}, **asked)


def shown(picture: Image.Image) -> bytes:
    """A picture's pixels, whatever else it says."""
    return picture.convert("RGB").tobytes()


def test_pictures_of_one_batch(page, client):
    page.standin.batches.clear()
    answer = paint(client, "a red house", seed=5, batch_size=2, n_iter=2, width=128, steps=30)
    assert page.standin.batches == [[5, 6, 7, 8]]
    for picture, seed in zip(answer.images, (5, 6, 7, 8), strict=True):
        assert shown(picture) == shown(page.standin.follow("a red house", seed))
    info = answer.info
    assert (info["seed"], info["all_seeds"]) == (5, [5, 6, 7, 8])
    assert [text.splitlines()[0] for text in info["infotexts"]] == ["a red house"] * 4
    assert (info["width"], info["height"], info["sd_model_name"]) == (128, 128, ABOUT.checkpoint)
    assert {"steps", "cfg_scale", "sampler_name", "height"} <= set(info["ignored"])
    assert not {"width", "prompt", "seed"} & set(info["ignored"])


def test_a_lora_is_a_style_and_a_style_a_template(page, client):
    answer = paint(client, "a boat, <lora:anime:0.8>, big", seed=1, styles=["sea"])
    wanted = page.standin.follow("a boat, big on the sea", 1, style="anime")
    assert shown(answer.image) == shown(wanted)
    said = parsed(answer.info["infotexts"][0])
    assert (said.settings["Style scale"], said.settings["Template"]) == ("0.8", "sea")
    assert said.settings == parsed(answer.image.info["parameters"]).settings


def test_a_seed_is_chosen_and_told(client):
    first = paint(client)
    assert shown(paint(client, seed=first.info["seed"]).image) == shown(first.image)
    assert paint(client).info["seed"] != first.info["seed"]


@pytest.mark.parametrize(
    ("unit", "way"),
    [
        ({"module": "canny", "model": "canny", "weight": 0.5}, "canny"),
        ({"model": "canny", "weight": 0.5}, "canny"),  # the image is one already
        ({"module": "sketch", "weight": 0.5}, "sketch"),
    ],
)
def test_a_controlnet_is_followed(page, client, drawn, unit, way):
    answer = paint(client, seed=1, controlnet_units=[ControlNetUnit(image=drawn, **unit)])
    image = page.standin.condition(way, drawn)
    wanted = page.standin.follow("a", 1, control=way, control_image=image, control_scale=0.5)
    assert shown(answer.image) == shown(wanted)
    assert "controlnet.resize_mode" in answer.info["ignored"]
    off = ControlNetUnit(image=drawn, enabled=False)
    alone = paint(client, seed=1, controlnet_units=[off])
    assert shown(alone.image) == shown(page.standin.follow("a", 1))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"prompt": ""}, "The prompt is empty"),
        ({"prompt": "<lora:fur:1>a"}, "Style must be 'anime', 'woodcut', not 'fur'."),
        ({"prompt": "<lora:anime:9>a"}, "Style scale must be from 0 to 2, not 9."),
        ({"prompt": "<lora:anime:1><lora:woodcut:1>a"}, "one picture has one LoRA"),
        ({"styles": ["land"]}, "Template must be 'sea', not 'land'."),
        ({"batch_size": 3, "n_iter": 3}, "Batch_size times n_iter is 9: ask for 8 at most."),
        ({"batch_size": 9}, "Field batch_size: input should be less than or equal to 8."),
        ({"enable_hr": True}, "There is no enable_hr here: leave it out."),
        ({"seed": -2}, "Seed must be a whole number from 0"),
        ({"override_settings": {"sd_model_checkpoint": "x"}}, "There is no such model here"),
        ({"controlnet_units": [ControlNetUnit()]}, "The ControlNet has no picture to follow"),
        ({"controlnet_units": [{"model": "depth"}]}, "models are sketch, canny."),
        ({"controlnet_units": [{}, {}]}, "One picture follows one ControlNet"),
    ],
)
def test_a_mistake_is_told_in_a_line(client, drawn, asked, message):
    units = [
        one if isinstance(one, ControlNetUnit) else ControlNetUnit(image=drawn, **one)
        for one in asked.get("controlnet_units", [])
    ]
    with pytest.raises(RuntimeError) as caught:
        paint(client, **{**asked, "controlnet_units": units})
    status, body = caught.value.args
    said = json.loads(body)["detail"]
    assert status == 400 and message.lower() in said.lower() and "\n" not in said


def test_what_clients_ask_about_a_server(client):
    assert client.util_get_model_names() == [ABOUT.checkpoint]
    assert client.util_get_current_model() == ABOUT.checkpoint
    client.util_set_model("house")
    assert (
        requests.post(f"{client.baseurl}/options", json={"sd_model_checkpoint": "x"}).status_code
        == 400
    )
    client.util_wait_for_ready()
    assert client.util_get_sampler_names() == ["one step"]
    assert [lora["name"] for lora in client.get_loras()] == list(ABOUT.styles)
    assert [one["name"] for one in client.get_prompt_styles()] == ["sea"]
    assert client.controlnet_model_list() == ["sketch", "canny"]
    assert client.controlnet_module_list() == ["none", "sketch", "canny"]
    assert client.controlnet_version() == 2
    assert client.get_cmd_flags()["api"]
    assert webuiapi.ControlNetInterface(client, False).model_list() == ["sketch", "canny"]


def test_pictures_may_stay_away(client):
    assert paint(client, send_images=False).images == []
