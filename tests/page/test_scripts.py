"""The pages' JavaScript has tests of its own, for node's test runner: they are run here."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


@pytest.mark.parametrize("script", sorted(TESTS.glob("*.test.js")), ids=lambda path: path.name)
def test_script(script):
    node = shutil.which("node")
    if not node and not os.environ.get("CI"):
        pytest.skip("no node on this machine")
    assert node, "no node on this machine: apt-get install nodejs"
    run = subprocess.run(
        [node, "--test", script], capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
