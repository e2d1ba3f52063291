"""The weights that ship: what is in the folder."""

import json

import pytest
from safetensors import safe_open

from sdxs.train.export import LIMIT
from sdxs.weights import weights_folder

pytestmark = pytest.mark.embedded


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
