"""The engine of the static site, run by node: scripts get JSON and give JSON."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.programs import ROOT, lacking, run

WEB = ROOT / "web"


@pytest.fixture(scope="session")
def node() -> Callable[[str, Any], Any]:
    """`node(script, given)`: what a module script, which lies in `web`, prints as JSON, told
    `given` as JSON by its standard input, as a variable of that name."""
    program = shutil.which("node")
    if not program:
        lacking("no node on this machine: apt-get install nodejs")
    packages = run(sys.executable, WEB / "packages.py")
    if packages.returncode:
        lacking(packages.stderr)

    def told(script: str, given: Any) -> Any:
        head = 'import fs from "node:fs"; const given = JSON.parse(fs.readFileSync(0));\n'
        done = subprocess.run(
            [program, "--input-type=module", "-e", head + script], cwd=WEB, input=json.dumps(given),
            capture_output=True, text=True, encoding="utf-8", timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout)

    return told
