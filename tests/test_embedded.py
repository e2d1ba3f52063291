"""The weights that ship: what is in the folder, and that model and judge are as good as said."""

import json

import pytest
from safetensors import safe_open

from sdxs import SDXS
from sdxs.storybook.captions import FROZEN, frozen_captions
from sdxs.storybook.evaluate import look, of_renders, painter, tally, wilson
from sdxs.storybook.evaluator import Evaluator, check
from sdxs.train.export import LIMIT
from sdxs.weights import weights_folder

pytestmark = pytest.mark.embedded


@pytest.fixture(scope="module")
def judge() -> Evaluator:
    return Evaluator.load(weights_folder("evaluator"))


def test_the_folder_is_small_and_all_weights_are_half_precision():
    folder = weights_folder("storybook")
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) <= LIMIT
    files = sorted(folder.rglob("*.safetensors"))
    assert [path.parent.name for path in files] == ["text_encoder", "unet", "vae"]
    for path in files:
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 (not a mapping)
                kind = file.get_slice(name).get_dtype()
                assert kind == "F16" or "position_ids" in name, (path, name)


def test_configs_name_no_folder_of_the_machine_that_made_them():
    for path in weights_folder("storybook").rglob("*.json"):
        assert "_name_or_path" not in json.loads(path.read_text()), path


def test_the_judge_confirms_99_of_100_attributes_of_held_out_renders(judge):
    assert of_renders(judge, 400, 128) >= 0.99


def test_one_step_paints_what_the_captions_say(judge):
    model = SDXS.load("storybook")
    captions = frozen_captions(FROZEN)[:200]
    sight = look(painter(model), judge, captions, "embedded")
    right, count = tally(check(sight, captions))["A"]
    assert wilson(right, count)[0] >= 0.80
