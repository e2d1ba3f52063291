"""Answers without a page: strange requests, styles, templates, what is said of a picture."""

import asyncio
import base64
import re
import threading
import warnings
from typing import Any

import pytest
from bare import bare
from PIL import Image

from sdxs.errors import InputError, PromptCutWarning
from sdxs.metadata.reading import read
from sdxs.page.answers import Answer, Answers
from sdxs.page.widgets import FILES
from sdxs.picture import MIME, encode
from sdxs.service import bounds, turns
from sdxs.service.about import About
from sdxs.service.painting import file_name

PLAIN = {"prompt": "a", "seed": 1}


def grey(prompt: str, *, seed: int) -> Image.Image:
    return Image.new("L", (16, 16), seed % 256)


def paint(own: Answers, request: Any = PLAIN, **more: Any) -> Answer:
    return asyncio.run(own.paint({**request, **more} if more else request))


def said(file: bytes) -> dict[str, str]:
    """What a file says of its picture."""
    parameters = read(file, "the file").parameters
    return {"Prompt": parameters.prompt, **parameters.settings}


def test_what_is_made_is_the_encoded_picture():
    made = asyncio.run(Answers.local(grey).make({"prompt": "a", "seed": "7"}))
    assert bare(made.file) == encode(grey("a", seed=7))
    assert made.warning == ""


def test_a_crowd_is_told_to_come_again(monkeypatch):
    monkeypatch.setattr(turns, "MOST_WAITING", 2)

    async def crowd() -> list[Answer]:
        own = Answers.local(grey)
        return await asyncio.gather(*(own.paint({"prompt": "a", "seed": s}) for s in range(3)))

    answers = asyncio.run(crowd())
    assert [bool(answer.get("again")) for answer in answers] == [False, False, True]


@pytest.mark.parametrize(
    "request_",
    [
        *(None, 7, "text", ["a"], {}, {"prompt": None}, {"prompt": "a"}, {"prompt": {"a": 1}}),
        {"prompt": "a", "seed": []},
        *({"prompt": "a", "seed": "0", "decoder": name} for name in ("huge", 7, ["tiny"])),
        {"prompt": "a" * (bounds.LONGEST_PROMPT + 1), "seed": "0"},
    ],
)
def test_a_strange_request_gets_one_line(request_):
    own = Answers.local(grey, About(decoders=("tiny", "large")))
    for answer in (paint(own, request_), asyncio.run(own.download(request_))):
        assert answer["kind"] in ("hint", "error")
        assert 0 < len(answer["note"]) < 300 and "\n" not in answer["note"]


def test_foreign_fields_are_dropped():
    assert paint(Answers.local(grey), size=10**6)["picture"].startswith("data:image/jpeg;base64,")


def test_half_an_emoji_can_still_be_encoded():
    made = asyncio.run(Answers.local(grey).make({"prompt": "fox \ud83e", "seed": 1}, "png"))
    assert said(made.file)["Prompt"] == "fox ?"
    assert file_name("../../ 🦊 Été/", 3, "png") == "t-3.png"
    assert file_name("🦊", 3, "png") == "picture-3.png"


@pytest.mark.parametrize("format", MIME)
def test_a_file_says_how_it_was_made(format):
    own = Answers.local(grey, About(checkpoint="c"))
    text = said(asyncio.run(own.make({"prompt": "un\0 🦊", "seed": 5}, format)).file)
    assert (text["Prompt"], text["Seed"], text["Model"]) == ("un 🦊", "5", "c")


def test_a_template_holds_the_prompt():
    seen = []

    def generate(prompt: str, *, seed: int, **others: Any) -> Image.Image:
        seen.append(prompt)
        return grey(prompt, seed=seed)

    own = Answers.local(generate, About(templates={"sea": "{prompt} on the sea"}))
    request = {"prompt": "a {boat}", "seed": 1, "template": "sea"}
    made = asyncio.run(own.make(request, "png"))
    assert seen == ["a {boat} on the sea"] and said(made.file)["Prompt"] == seen[0]
    with pytest.raises(InputError, match="template must be 'sea', not 'land'"):
        asyncio.run(own.make({**request, "template": "land"}))


def styled(prompt: str, *, seed: int, **worn: Any) -> Image.Image:
    """A grey that says how much of a style it wears."""
    return Image.new("L", (16, 16), round(100 * worn.get("style_scale", 0)) if worn else 7)


def shade(grey: int) -> bytes:
    return encode(Image.new("L", (16, 16), grey))


def shown(url: str) -> bytes:
    """The picture that a page is sent, without what it says of itself."""
    return bare(base64.b64decode(url.partition(",")[2]))


def test_a_style_is_worn_as_strongly_as_asked():
    own = Answers.local(styled, About(styles=("anime",)))
    for scale, grey in ((None, 100), ("0.5", 50), (0, 0), (2, 200)):
        answer = paint(own, style="anime", style_scale=scale)
        assert shown(answer["picture"]) == shade(grey) and "plain" not in answer
    for wrong in (-1, "much"):
        answer = paint(own, style="anime", style_scale=wrong)
        assert answer["kind"] == "error"
        assert answer["note"].startswith("Style scale must be from 0 to 2, not")
    assert shown(paint(own, style_scale=0.5)["picture"]) == shade(7)


def test_a_warning_about_both_pictures_is_said_once():
    def cut(prompt: str, *, seed: int, **worn: Any) -> Image.Image:
        warnings.warn(PromptCutWarning("not seen: tail"), stacklevel=1)
        return styled(prompt, seed=seed, **worn)

    own = Answers.local(cut, About(styles=("anime",)))
    assert paint(own, style="anime", compare=True)["note"] == "not seen: tail"


def test_with_and_without_a_style():
    own = Answers.local(styled, About(styles=("anime",)))
    assert "plain" not in paint(own, compare=True)
    answer = paint(own, compare=True, style="anime")
    assert shown(answer["plain"]) == shade(7) != shown(answer["picture"])
    request = {**PLAIN, "compare": True, "style": "anime"}
    assert "file" in asyncio.run(own.download(request))
    assert "plain" not in paint(own, request, compare="yes")


def test_the_scripts_read_all_that_an_answer_may_say_and_nothing_else():
    script = "".join(
        file.read_text(encoding="utf-8")
        for file in FILES.glob("*.js")
        if file.name != "walk.js"  # reads `exports.Progress`
    )
    used = set(re.findall(r"\banswer\??\.(\w+)", script)) - {"refused"}  # said by server.js itself
    assert used | {"request"} == set(Answer.__annotations__)


def test_who_waits_is_told_how_many_go_before():
    release = threading.Event()

    def held(prompt: str, *, seed: int) -> Image.Image:
        assert release.wait(60)
        return grey(prompt, seed=seed)

    async def visits() -> list[Answer]:
        own = Answers.local(held)
        asked = [{**PLAIN, "visitor": name, "final": name == "c"} for name in "abcd"]
        painted = []
        for one in asked:
            painted.append(asyncio.ensure_future(own.paint(one)))
            await asyncio.sleep(0)
        found = [await own.place(one) for one in [*asked, {}, None]]
        release.set()
        await asyncio.gather(*painted)
        return [*found, await own.place(asked[1])]

    assert asyncio.run(visits()) == [{}, {"before": 1}, {"before": 3}, {"before": 2}, {}, {}, {}]
