"""From files back to requests: ours whole, others' as far as they go, and what is left out."""

import asyncio
import base64
from typing import Any

import pytest
from page.test_answers import PLAIN, styled
from test_metadata import FOREIGN, foreign

from sdxs.config import TEMPLATES
from sdxs.page.answers import Answer, Answers
from sdxs.picture import MIME
from sdxs.service.about import About
from service.test_drawings import DRAWN, canvas, url

ABOUT = About(
    checkpoint="storybook",
    styles=("anime", "ink"),
    decoders=("tiny", "large"),
    templates={**TEMPLATES, "twice": "{prompt} and {prompt}"},
    size=(16, 16),
)
REQUEST = {
    "prompt": "a {red} house, Steps: 20\nat sunset 🦊 ",
    "seed": "7",
    "style": "ink",
    "style_scale": 0.35,
    "decoder": "large",
    "template": "neon",
}


def back(own: Answers, file: bytes, name: str = "it.png") -> Answer:
    data = f"data:image/png;base64,{base64.b64encode(file).decode()}"
    return asyncio.run(own.read({"file": data, "name": name}))


@pytest.mark.parametrize("template", ABOUT.templates)
@pytest.mark.parametrize("format", MIME)
def test_ours_comes_back_whole(format: str, template: str) -> None:
    own = Answers.local(styled, ABOUT)
    request = {**REQUEST, "template": template}
    made = asyncio.run(own.make(request, format))
    assert back(own, made.file) == {"request": request, "note": "", "kind": "hint"}
    downloaded = asyncio.run(own.download(request))["file"]
    answer = asyncio.run(own.read({"file": downloaded, "name": "it"}))
    assert answer["request"] == request


def test_a_picture_without_a_style_has_none_on_a_page_that_begins_with_one() -> None:
    own = Answers.local(styled, ABOUT)
    made = asyncio.run(own.make(PLAIN, "png"))
    assert back(own, made.file)["request"]["style"] == ""


@pytest.mark.parametrize("format", ["png", "webp"])
def test_a_drawing_comes_back_and_gives_the_same_picture(format: str) -> None:
    own = canvas(lambda name, picture: picture.convert("L"))
    request = {**DRAWN, "seed": "1", "condition": "canny", "strength": 0.5}
    made = asyncio.run(own.make(request, format))
    again = back(own, made.file)["request"]
    same = {name: value for name, value in request.items() if name != "drawing"}
    assert {name: again[name] for name in same} == same
    assert asyncio.run(own.make(again, format)).file == made.file


def test_a_photo_stays_where_it_is() -> None:
    own = canvas()
    photo = {**PLAIN, "drawing": url(90, "jpeg", drawn=True)}
    answer = back(own, asyncio.run(own.make(photo, "png")).file)
    assert "drawing" not in answer["request"]
    assert answer["note"].endswith("hat it followed is not in the file.")
    answer = back(Answers.local(styled), asyncio.run(own.make(DRAWN, "png")).file)
    size, rest = answer["note"].split("; ")
    assert size.startswith("Size") and rest == "it followed a drawing, which has no place here."


def test_what_is_not_there_here_is_said() -> None:
    made = asyncio.run(Answers.local(styled, ABOUT).make(REQUEST, "png"))
    poor = Answers.local(styled, About(checkpoint="other", size=(16, 16)))
    answer = back(poor, made.file)
    prompt = TEMPLATES["neon"].replace("{prompt}", REQUEST["prompt"])
    assert answer["request"] == {"prompt": prompt, "seed": "7"}
    assert answer["note"] == (
        "Made with storybook, here other; Style ink, Decoder large left out: not known here."
    )
    changed = Answers.local(styled, About(templates={"neon": "glowing {prompt}"}, size=(16, 16)))
    assert back(changed, made.file)["request"]["prompt"] == prompt


@pytest.mark.parametrize("format", MIME)
def test_a_foreign_file(format: str) -> None:
    answer = back(Answers.local(styled, ABOUT), foreign(FOREIGN, format))
    assert answer["request"] == {
        "prompt": "masterpiece, (a fox:1.2), snow",
        "seed": "965400086",
        "style": "anime",
        "style_scale": 0.8,
    }
    assert answer["note"].startswith(
        "Made with realisticVision, here storybook; size 512x768 left out: pictures here have "
        "16x16; Negative prompt, Steps 20, Sampler DPM++ 2M, Schedule type Karras, CFG scale 7 "
        "left out: one step has none"
    )
    other = "a fox <lora:detail:1> <lyco:anime:9>\nSteps: 9, Seed: -1, Size: 16x16, VAE: x, ENSD: 3"
    answer = back(Answers.local(styled, ABOUT), foreign(other, format))
    assert answer["request"] == {"prompt": "a fox", "style": "anime"}
    assert answer["note"] == (
        "Steps 9 left out: one step has none; Seed -1, LoRA detail, LoRA strength 9, VAE, ENSD "
        "left out: not known here."
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"file": "", "name": "a.png"}, "a.png is not a PNG, JPEG or WebP picture."),
        ({"file": "data:image/png;base64,AAA", "name": "a.png"}, "arrived damaged"),
        ({"file": "data:image/png;base64," + "A" * 17_000_000}, "has more than 12 MB"),
        ({"file": url(9), "name": "a.png"}, "a.png says nothing of how it was made."),
        ({"file": url(9), "name": ["\n" * 900]}, "says nothing of how it was made."),
        (7, "The picture is not a PNG, JPEG or WebP picture."),
    ],
)
def test_a_file_of_which_nothing_comes(given: Any, said: str) -> None:
    answer = asyncio.run(Answers.local(styled, ABOUT).read(given))
    assert said in answer["note"] and "request" not in answer
    assert "\n" not in answer["note"] and len(answer["note"]) < 250


def test_nothing_in_a_file_of_ours_goes_unchecked() -> None:
    text = "a\nSteps: 1, Seed: x, Style: gone, Style scale: 9, Decoder: 7, Template: no, "
    text += "Condition: sketch, Compare: True, Nonsense: 3, Version: sdxs 9.9"
    answer = back(Answers.local(styled, ABOUT), foreign(text, "png"))
    assert answer["request"] == {"prompt": "a", "style": ""}
    assert "Seed x, Style gone" in answer["note"] and "Nonsense" in answer["note"]
