"""The pages' JavaScript has tests of its own, for node's test runner: they are run here."""

import os
import shutil
from pathlib import Path

import pytest
from programs import run

TESTS = Path(__file__).parent


@pytest.mark.parametrize("script", sorted(TESTS.glob("*.test.js")), ids=lambda path: path.name)
def test_script(script):
    node = shutil.which("node")
    if not node and not os.environ.get("CI"):
        pytest.skip("no node on this machine")
    assert node, "no node on this machine: apt-get install nodejs"
    done = run(node, "--test", script)
    assert done.returncode == 0, done.stdout + done.stderr
