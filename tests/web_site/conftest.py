"""The static site's scripts, called by node."""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sdxs.metadata.parameters import SOFTWARE
from sdxs.metadata.xmp import PACKET
from sdxs.service.about import About
from sdxs.service.options import OPTIONS
from web.build import row_facts

CALLS = Path(__file__).with_name("calls.mjs")
Call = Callable[..., list[Any]]

ABOUT = About(
    checkpoint="storybook",
    size=(8, 6),
    styles=("anime", "woodcut"),
    conditions=("sketch",),
    templates={"at sea": "{prompt} on the sea", "twice": "{prompt}, {prompt}"},
)
ROWS = [row_facts(row) for row in OPTIONS]
FACTS = {
    "size": list(ABOUT.size), "checkpoint": ABOUT.checkpoint, "styles": list(ABOUT.styles),
    "conditions": ["sketch"], "templates": ABOUT.templates, "decoders": ["tiny"],
}  # fmt: skip


@pytest.fixture(scope="session")
def call() -> Call:
    """A function that has node call [module, name, arguments] each; what they give."""
    node = shutil.which("node")
    if not node and not os.environ.get("CI"):
        pytest.skip("no node on this machine")
    assert node, "no node on this machine: apt-get install nodejs"

    def called(*calls: Any) -> list[Any]:
        asked = json.dumps(calls, default=lambda data: {"bytes": base64.b64encode(data).decode()})
        done = subprocess.run([node, CALLS], input=asked, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return [
            base64.b64decode(one["bytes"]) if isinstance(one, dict) and "bytes" in one else one
            for one in json.loads(done.stdout)
        ]

    return called


@pytest.fixture(scope="session")
def said() -> tuple[str, str]:
    """What files say: the software, and the packet's words."""
    return SOFTWARE, PACKET
