"""Eight seeds of a request, the final picture of a hand that rests, and where the time went."""

import asyncio
from typing import Any

import pytest
from PIL import Image
from service.test_batches import Held, standin, visit

from page.test_answers import grey, shown
from sdxs.metadata import reading
from sdxs.page.answers import Answers
from sdxs.picture import encode
from sdxs.service import turns
from sdxs.service.about import About

ABOUT = About(decoders=("tiny", "large"), styles=("ink",), conditions=("sketch",))
LARGEST = 2**63 - 1


def varied(own: Answers, **request: Any) -> Any:
    return asyncio.run(own.variety({"prompt": "a", **request}))


def jpeg(seed: int) -> bytes:
    return encode(grey("a", seed=seed))


def bared(answer: Any) -> dict[str, bytes]:
    return {seed: shown(url) for seed, url in answer["pictures"].items()}


@pytest.mark.parametrize("seed", [0, 5, 7, "13", " 8 ", LARGEST, str(LARGEST - 7)])
def test_the_block_of_a_seed_is_one_call(seed):
    held = Held(standin)
    answer = varied(Answers.local(held, ABOUT, together=8), seed=seed)
    first = int(seed) // 8 * 8
    seeds = list(range(first, first + 8))
    assert bared(answer) == {str(one): jpeg(one) for one in seeds}
    assert held.calls == [(["a"] * 8, {"seed": seeds})]


def test_a_model_that_takes_no_lists_paints_one_at_a_time():
    held = Held(standin)
    answer = varied(Answers.local(held, ABOUT), seed=3)
    assert held.calls == [("a", {"seed": seed}) for seed in range(8)]
    assert list(bared(answer).values()) == [jpeg(seed) for seed in range(8)]


def test_it_follows_what_the_request_says_as_a_draft():
    held = Held(standin)
    own = Answers.local(held, ABOUT, together=8)
    varied(own, seed=0, style="ink", decoder="", final=True, compare=True, size=9)
    ((prompts, told),) = held.calls
    assert prompts == ["a"] * 8 and told.pop("seed") == list(range(8))
    assert told == {"style": "ink", "style_scale": [1] * 8, "decoder": "tiny"}


@pytest.mark.parametrize(
    "request_",
    [None, 7, {"seed": 1}, {"prompt": "a"}, {"prompt": "a", "seed": -1},
     {"prompt": "a", "seed": LARGEST + 1}, {"prompt": "bad", "seed": 1},
     {"prompt": "a", "seed": 1, "visitor": ["x"], "style": "none such"}],
)  # fmt: skip
def test_a_strange_request_gets_one_line(request_):
    answer = asyncio.run(Answers.local(standin, ABOUT, together=8).variety(request_))
    assert set(answer) == {"note", "kind"} and answer["kind"] == "error"
    assert 0 < len(answer["note"]) < 300 and "\n" not in answer["note"]


def asked(seed: int, visitor: str = "me", **more: Any) -> dict[str, Any]:
    return {"prompt": "a", "seed": seed, "visitor": visitor, **more}


async def later(visit: Any) -> Any:
    for _ in range(2):  # the pictures of a strip have their places
        await asyncio.sleep(0)
    return await visit


def test_others_go_first():
    held = Held(standin)
    own = Answers.local(held, ABOUT, together=8)
    found = visit(held, own, own.variety(asked(0)), own.paint(asked(90, "you")))
    assert held.calls == [("a", {"seed": 90}), (["a"] * 8, {"seed": list(range(8))})]
    assert len(found[0]["pictures"]) == 8


def test_who_asks_anew_drops_what_they_waited_for():
    held = Held(standin)
    own = Answers.local(held, ABOUT, together=8)
    strips = [own.variety(asked(0)), own.variety(asked(8)), own.variety(asked(16, "you"))]
    final = asked(5, final=True, decoder="")
    found = visit(held, own, *strips, own.paint(final), later(own.paint(asked(90))))
    assert [bool(one.get("pictures")) for one in found[:3]] == [False, False, True]
    assert found[0]["note"] == turns.STALE and found[3]["note"] == turns.STALE
    assert [told["seed"] for _, told in held.calls] == [90, list(range(16, 24))]


def test_a_final_picture_leaves_the_strip_and_is_patient_too():
    held = Held(standin)
    own = Answers.local(held, ABOUT, together=8)
    final = later(own.paint(asked(5, final=True, decoder="")))
    found = visit(held, own, own.variety(asked(0)), final, later(own.paint(asked(90, "you"))))
    assert all("note" not in one or not one["note"] for one in found[:2])
    assert [told["seed"] for _, told in held.calls] == [90, list(range(8)), 5]


def test_a_decoder_that_is_left_open_drafts_and_then_is_thorough():
    told: list[Any] = []

    def generate(prompt: str, *, seed: int, **more: Any) -> Image.Image:
        told.append(more)
        return grey(prompt, seed=seed)

    own, request = Answers.local(generate, ABOUT), asked(1, decoder="")
    for more in ({}, {"final": True}, {"final": "yes"}, {"decoder": "tiny", "final": True}):
        asyncio.run(own.paint({**request, **more}))
    assert [one["decoder"] for one in told] == ["tiny", "large", "tiny", "tiny"]
    file = asyncio.run(own.make({**request, "final": True}, "png")).file
    said = reading.read(file, "it")
    assert said and said.parameters.settings["Decoder"] == "large"
    asyncio.run(Answers.local(generate).paint({**request, "final": True}))
    assert told[-1] == {}


def test_the_stages_are_all_that_a_request_took():
    held = Held(standin)
    own = Answers.local(held, ABOUT, together=8)
    first, second = visit(held, own, own.paint(asked(1, "you")), own.paint(asked(2)))
    for one in (first, second):
        stages = one["stages"]
        assert list(stages) == ["waiting", "drawing", "model", "encoding"]
        assert all(ms >= 0 for ms in stages.values())
        assert stages["model"] + stages["encoding"] <= one["ms"] + 0.2  # each is rounded
