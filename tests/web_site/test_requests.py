"""What counts of a request, on the site as in Python."""

from typing import Any

import pytest

from sdxs.errors import SDXSError
from sdxs.service import options
from sdxs.service.labels import Labels
from tests.web_site.conftest import ABOUT, FACTS, ROWS, Call

SHOWN = {layout: [row.field for row in options.shown(ABOUT, layout)] for layout in options.LAYOUTS}
REQUESTS: list[dict[str, Any]] = [
    {"prompt": "a red house", "seed": "7"},
    {"prompt": "a red house", "seed": "0007", "style": "anime", "style_scale": 0.35},
    {"prompt": "a house", "seed": str(2**63 - 1), "style": "", "style_scale": 2, "compare": True},
    {"prompt": 'two\nlines, "quoted": yes', "seed": "1", "template": "at sea"},
    {
        "prompt": "雪 🏡 \ud83c",
        "seed": "3",
        "style": "woodcut",
        "style_scale": 0.8,
        "compare": True,
    },
    {"prompt": "to", "seed": "5", "to_prompt": "a boat: at sea, {prompt} $& ", "walk": 0.25},
    {"prompt": "to", "seed": "5", "to_seed": "9", "to_prompt": "  ", "template": "twice"},
    {"prompt": "to " * 5000, "seed": 12, "walk": 0.75, "unknown": 1},
]
MISTAKES: list[dict[str, Any]] = [
    {"prompt": "a", "seed": "-1"},
    {"prompt": "a", "seed": str(2**63)},
    {"prompt": "a", "seed": "x"},
    {"prompt": "a", "seed": ""},
    {"prompt": "a", "seed": "1", "style": "anime", "style_scale": 2.5},
    {"prompt": "a", "seed": "1", "to_seed": "1.5"},
]


@pytest.mark.parametrize("layout", options.LAYOUTS)
def test_a_page_has_the_same_options(layout: str, call: Call) -> None:
    (found,) = call(["fields.js", "shown", [ROWS, FACTS, options.LAYOUTS[layout]]])
    assert [row["field"] for row in found] == SHOWN[layout]


@pytest.mark.parametrize("field", ["style", "template", "decoder", "condition"])
def test_a_choice_has_the_same_names(field: str, call: Call) -> None:
    row = next(row for row in options.OPTIONS if row.field == field)
    (found,) = call(["fields.js", "choices", [ROWS[options.OPTIONS.index(row)], FACTS]])
    assert list(found.items()) == list(row.names(ABOUT).items())


def test_the_same_counts_and_the_file_says_the_same(call: Call, said: tuple[str, str]) -> None:
    rows = options.shown(ABOUT, "text")
    facts = [row for row in ROWS if row["field"] in SHOWN["text"]]
    given = call(*(["requests.js", "checked", [facts, FACTS, request]] for request in REQUESTS))
    size = list(ABOUT.size)
    texts = call(
        *(["labels.js", "parameters", [one, facts, FACTS, size, said[0]]] for one in given)
    )
    for request, one, text in zip(REQUESTS, given, texts, strict=True):
        expected = options.checked(rows, ABOUT, request)
        numbers = {name: str(expected[name]) for name in ("seed", "to_seed") if name in expected}
        assert one == {**expected, "prompt": request["prompt"], **numbers}
        assert text == Labels(ABOUT).of(expected).text(ABOUT.size)


def test_mistakes_are_told_in_the_same_words(call: Call) -> None:
    rows = options.shown(ABOUT, "text")
    facts = [row for row in ROWS if row["field"] in SHOWN["text"]]
    found = call(*(["requests.js", "checked", [facts, FACTS, request]] for request in MISTAKES))
    for request, one in zip(MISTAKES, found, strict=True):
        with pytest.raises(SDXSError) as error:
            options.checked(rows, ABOUT, request)
        assert one == {"error": str(error.value)}


def test_what_a_style_needs_goes_with_it(call: Call) -> None:
    given = {"prompt": "a", "seed": "1", "style": "anime", "style_scale": 0.5, "compare": True}
    (left,) = call(["requests.js", "without", ["style", given, ROWS]])
    assert left == options.without("style", given) == {"prompt": "a", "seed": "1"}


def test_what_the_model_is_asked(call: Call) -> None:
    given = {"prompt": "a", "seed": "1", "style": "anime", "style_scale": 0.5, "template": "at sea",
             "to_prompt": "b", "compare": True}  # fmt: skip
    (asked,) = call(["requests.js", "arguments_", [given, ROWS, FACTS, None]])
    assert asked == {"prompt": "a on the sea", "seed": "1", "style": "anime", "styleScale": 0.5,
                     "toPrompt": "b on the sea", "walk": 0.5}  # fmt: skip
