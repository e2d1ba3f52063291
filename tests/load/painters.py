"""A stand-in for the model in Ray Serve's replicas: `serve run tests.load.painters:app`.

args: as those of `sdxs.serve:app`. STANDIN_SECONDS: that a batch takes. Without torch.
"""

import argparse
import os
import time
from collections.abc import Mapping
from typing import Any

from ray.serve import Application

from sdxs.page.apps import TOGETHER
from sdxs.serve import deployed
from sdxs.serve.painters import Painters
from sdxs.service.about import About
from sdxs.service.painting import Painter
from sdxs.service.turns import Turns
from tests.browser.standin import Standin

SECONDS = float(os.environ.get("STANDIN_SECONDS", "0.05"))
LONG = 3.0
ABOUT = About(checkpoint="standin", size=(128, 128))


class Slow(Standin):
    """Some prompts take longer, some are not painted alone."""

    def __call__(self, prompt: Any, **chosen: Any) -> Any:
        if "together" in prompt and isinstance(prompt, str):
            raise RuntimeError("alone")
        if "slow" in prompt:
            time.sleep(LONG)
        return super().__call__(prompt, **chosen)


class Standins(Painters):
    def __init__(self, page: str, options: argparse.Namespace) -> None:
        self._begin(Turns(Painter(Slow(SECONDS), ABOUT), TOGETHER), ABOUT)


def app(args: Mapping[str, Any]) -> Application:
    return deployed(args, Standins)
