"""A program that ends while a daemon thread paints ends as any other, and not by an abort."""

import os
import sys
from pathlib import Path

import pytest
from programs import run

CODE = """
import sys, threading, time
from sdxs import SDXS
model = SDXS.load(sys.argv[1], device="cpu", dtype="float32", engine="eager", safety=False)
painted = threading.Event()

def paint():
    while True:
        model(["a red house"] * 4, size=int(sys.argv[2]))
        painted.set()

for _ in range(2):
    threading.Thread(target=paint, daemon=True).start()
assert painted.wait(100)
"""


@pytest.mark.parametrize("size", [64, 256])
def test_a_daemon_thread_paints(size: int, tiny_checkpoint: Path) -> None:
    done = run(sys.executable, "-c", CODE, tiny_checkpoint, size, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "terminate" not in done.stderr
