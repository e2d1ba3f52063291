"""The storybook world: a drawn world that proves the recipe where nothing can be downloaded."""

import sys
from importlib.util import find_spec

from sdxs.errors import NEEDS_TORCH

if find_spec("torch") is None:
    sys.exit(NEEDS_TORCH)
