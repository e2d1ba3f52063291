"""The table of options: its checks, and that a row of it is all that a new option needs."""

import re
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client
from PIL import Image
from programs import served

from sdxs import __main__ as command
from sdxs.errors import InputError
from sdxs.metadata.reading import read
from sdxs.page.ui import Page, sketch_page, text_page
from sdxs.service import options
from sdxs.service.about import About
from sdxs.service.kinds import Option, Slider
from sdxs.service.options import OPTIONS

ROWS = {row.field: row for row in OPTIONS}
MOOD = Option(
    "mood", "How merry", Slider(0, 9), "more", lambda _, value: float(value) + 1, "merriness",
    start=3, help="how merry, 0 to 9",
)  # fmt: skip


def check(field: str, value: Any) -> Any:
    return ROWS[field].checked(About(), value)


@pytest.mark.parametrize("seed", [0, "0", " 12 ", 2**63 - 1, str(2**63 - 1)])
def test_good_seeds(seed):
    assert check("seed", seed) == int(seed)


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, "1e3", "²", "1_000", "9" * 9999, None, True, "x"])
def test_bad_seeds(seed):
    with pytest.raises(InputError, match="seed must be a whole number from 0"):
        check("seed", seed)


@pytest.mark.parametrize("strength", ["", "much", -0.1, 2.1, float("nan"), True, [1], "1" * 999])
def test_bad_strengths(strength):
    with pytest.raises(InputError, match="strength must be from 0 to 2"):
        check("strength", strength)


def test_what_needs_another_option_goes_with_it():
    about = About(styles=("ink",), conditions=("sketch",))
    plain = [row.field for row in options.shown(About(), "text")]
    assert plain == ["prompt", "seed", "to_prompt", "to_seed", "walk"]
    rows = options.shown(about, "canvas")
    request = {"prompt": "a", "seed": 0, "style": "ink"}
    given = options.checked(rows, about, {**request, "strength": "much", "size": 9})
    assert given == {**request, "style_scale": 1, "compare": False}
    assert options.without("style", given) == {"prompt": "a", "seed": 0}
    assert options.keywords(given) == {"seed": 0, "style": "ink", "style_scale": 1}


def test_a_walk_needs_a_prompt_or_a_seed_to_lead_to():
    rows = options.shown(About(), "text")
    request = {"prompt": "a", "seed": 0}

    def given(**asked: Any) -> dict[str, Any]:
        return options.checked(rows, About(), {**request, **asked})

    assert given(to_prompt=" ", to_seed="", walk=0.3) == request
    assert given(to_prompt="b") == {**request, "to_prompt": "b", "walk": 0.5}
    both = given(to_prompt="b", to_seed=" 7", walk=1)
    assert both == {**request, "to_prompt": "b", "to_seed": 7, "walk": 1}
    assert options.without("to_prompt", both) == {**request, "to_seed": 7, "walk": 1}
    assert options.without("to_seed", given(to_seed=7)) == request
    for wrong in ({"to_seed": "x"}, {"to_seed": 7, "walk": 1.1}, {"to_prompt": 3}):
        with pytest.raises(InputError):
            given(**wrong)


class Painter:
    """A model that remembers what it was told."""

    checkpoint, device, dtype = "standin", "cpu", "float32"
    told: dict[str, Any]

    def __call__(self, prompt: str | list[str], **told: Any) -> Any:
        self.told = told
        picture = Image.new("RGB", (8, 8))
        return picture if isinstance(prompt, str) else [picture] * len(prompt)

    def load(self, *_: Any, **__: Any) -> "Painter":
        return self


def pages(painter: Painter) -> dict[str, Page]:
    about = About(styles=("ink",), conditions=("sketch", "canny"))
    return {
        "text": text_page(painter),
        "anime": text_page(painter, about=about, style="ink"),
        "canvas": sketch_page(painter, lambda _, picture: picture, about=about),
    }


def test_a_row_is_all_that_a_new_option_needs(monkeypatch, tmp_path: Path, ran):
    monkeypatch.setattr(options, "OPTIONS", (*OPTIONS, MOOD))
    painter = Painter()
    for name, page in pages(painter).items():
        made = [one for one in page.blocks.values() if getattr(one, "label", "") == MOOD.label]
        assert [(one.minimum, one.maximum, one.value) for one in made] == [(0, 9, 3)], name
        scripts = [event.js for event in page.fns.values() if event.js and "changed" in event.js]
        assert scripts and all('"mood"' in script for script in scripts), name
        with served(page) as address:
            client = Client(address, verbose=False)
            client.predict("a", 1, mood=7, api_name="/generate")
            assert painter.told["merriness"] == 8, name
            endpoint = client.view_api(return_format="dict")["named_endpoints"]["/generate"]
            assert endpoint["parameters"][-1]["parameter_name"] == "mood", name

    _, told, _ = ran(command.main, "--help")
    assert re.search(r"--merriness .*how merry, 0 to 9\s+\(default: 3\)", told, re.S)
    monkeypatch.setattr("sdxs.SDXS", painter)
    file = tmp_path / "a.png"
    arguments = ["a", "--checkpoint", "x", "--output", str(file)]
    assert command.main([*arguments, "--merriness", "4"]) == 0
    assert painter.told["merriness"] == 5
    assert read(file, "it").parameters.settings["Merriness"] == "5"
    assert command.main(arguments) == 0 and painter.told["merriness"] == 3


def test_rows_name_what_there_is():
    places = {place for layout in options.LAYOUTS.values() for place in layout} | {"nowhere"}
    assert len(ROWS) == len(OPTIONS)
    for number, row in enumerate(OPTIONS):
        assert {*row.needed} <= {*list(ROWS)[:number]}
        assert row.place in places
        assert row.keyword or row.required or not row.help
