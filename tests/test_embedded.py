"""The weights that ship: what is in the folder, and that model and judge are as good as said."""

import json
from itertools import chain, pairwise

import pytest
import torch
from safetensors.torch import load_file

from sdxs import SDXS
from sdxs.checkpoint.find import weights_folder
from sdxs.storybook.controlled import measure
from sdxs.storybook.judges.accuracy import look, of_renders
from sdxs.storybook.judges.evaluator import Evaluator, check
from sdxs.storybook.judges.painters import by_model
from sdxs.storybook.judges.styles import StyleJudge, of_artists
from sdxs.storybook.judges.tallies import tally, wilson
from sdxs.storybook.styled import measure as measure_style
from sdxs.storybook.world.artists import ARTISTS
from sdxs.storybook.world.captions import frozen_captions
from sdxs.train.export import LIMIT

pytestmark = pytest.mark.embedded
HEAVIEST = 6 * 10**6  # bytes of a control
HEAVIEST_STYLE = 600 * 10**3
FOLLOWED = {"sketch": ("lines", 0.7), "canny": ("lines", 0.55), "depth": ("relief", 0.7)}


@pytest.fixture(scope="module")
def judge() -> Evaluator:
    return Evaluator.load()


def test_the_folder_is_small_and_all_weights_are_half_precision():
    folder = weights_folder("storybook")
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) <= LIMIT
    files = sorted(folder.rglob("*.safetensors"))
    assert [path.parent.name for path in files] == ["text_encoder", "unet", "vae"]
    for path in files:
        for name, tensor in load_file(path).items():
            assert tensor.dtype == torch.float16 or "position_ids" in name, (path, name)


@pytest.mark.parametrize(
    ("name", "files", "heaviest"),
    [(f"controls/{control}", "*", HEAVIEST) for control in FOLLOWED]
    + [(f"styles/{style}", "*.safetensors", HEAVIEST_STYLE) for style in ARTISTS],
)
def test_what_is_added_is_small_and_half_precision(name, files, heaviest):
    folder = weights_folder(name)
    assert (folder / "README.md").is_file()
    assert sum(path.stat().st_size for path in folder.glob(files)) <= heaviest
    tensors = [*chain(*(load_file(path).values() for path in folder.rglob("*.safetensors")))]
    assert {tensor.dtype for tensor in tensors} == {torch.float16}


@pytest.mark.parametrize("count", [8, pytest.param(32, marks=pytest.mark.long)])
@pytest.mark.parametrize("control", FOLLOWED)
def test_a_control_is_followed_the_more_the_stronger(control, count):
    name, least = FOLLOWED[control]  # what is scored, and how high it is at least
    scores = measure(SDXS.load("storybook", controls=control), control, count)
    by_strength = [scores[f"{name}, strength {s:g}"]["mean"] for s in (0, 0.25, 0.5, 0.75, 1)]
    assert by_strength == sorted(by_strength) and by_strength[-1] >= least
    assert by_strength[-1] >= 2 * scores[f"{name}, another scene"]["mean"]
    led, plain = (scores[f"attribute_accuracy, {how}"]["share"] for how in ("controlled", "plain"))
    assert led >= plain - 0.08
    if control == "depth":
        assert scores["depth, strength 1"]["mean"] >= 0.95


@pytest.mark.parametrize("control", FOLLOWED)
def test_at_no_strength_the_picture_is_the_plain_one(control):
    model = SDXS.load("storybook", controls=control)
    options = {"seed": 3, "output_type": "pt"}
    image = model.condition(control, model("a big blue house by day", seed=1))
    plain = model("a red ball", **options)
    led = model("a red ball", control=control, control_image=image, control_scale=0, **options)
    assert torch.equal(led, plain)
    led = model("a red ball", control=control, control_image=image, **options)
    assert (led - plain).abs().mean() > 0.02


@pytest.mark.parametrize("style", ARTISTS)
def test_a_style_shows_the_more_the_stronger(style):
    model = SDXS.load("storybook", styles=style)
    scores = list(measure_style(model, style, style, 32).values())
    names = ("recognised", "attribute_accuracy")
    shares, right = ([row[name]["share"] for row in scores] for name in names)
    assert all(more >= less - 1 / 32 for less, more in pairwise(shares))  # a picture more or less
    assert shares[0] <= 0.05 and shares[-1] >= 0.9
    assert right[-1] >= right[0] - 0.06
    assert scores[0]["iou"] == 1 and scores[-1]["iou"] >= 0.7


def test_the_judge_of_styles_tells_artists_apart():
    seen = of_artists(StyleJudge.load(), 96, 128)
    for name in ("plain", *ARTISTS):
        assert seen[f"{name}_artist"] >= 0.95 and seen[f"{name}_attribute_accuracy"] >= 0.9
        assert seen[f"{name}_iou"] >= 0.8


def test_configs_name_no_folder_of_the_machine_that_made_them():
    for path in weights_folder("storybook").parent.rglob("*.json"):
        assert "_name_or_path" not in json.loads(path.read_text()), path


def test_the_judge_confirms_99_of_100_attributes_of_held_out_renders(judge):
    assert of_renders(judge, 400, 128) >= 0.99


def test_one_step_paints_what_the_captions_say(judge):
    model = SDXS.load("storybook")
    captions = frozen_captions()[:200]
    sight = look(by_model(model), judge, captions, "embedded")
    right, count = tally(check(sight, captions))["attribute_accuracy"]
    assert wilson(right, count)[0] >= 0.95


def test_the_card_names_every_phrase_the_model_knows():
    card = (weights_folder("storybook").parent / "README.md").read_text()
    words = json.loads((weights_folder("storybook") / "words.json").read_text())
    part = card.partition("## What it knows")[2].partition("\n## ")[0]
    for phrase in chain(*words.values()):
        assert phrase in part, phrase
