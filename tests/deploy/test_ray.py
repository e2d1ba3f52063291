"""deploy/ray.yaml: Ray's own schema takes it, and so does the app."""

import importlib

import yaml
from ray.serve.schema import ServeDeploySchema

from tests.programs import ROOT


def test_the_file_for_ray():
    told = ServeDeploySchema(**yaml.safe_load((ROOT / "deploy" / "ray.yaml").read_text()))
    (one,) = told.applications
    module, _, name = one.import_path.partition(":")
    assert getattr(importlib.import_module(module), name)(one.args)
    assert told.http_options.port == 7860
