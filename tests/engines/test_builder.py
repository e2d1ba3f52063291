"""What is built in the background keeps no program alive, and says why it failed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sdxs.engines.builder import Builder

END = """
import atexit, sys, time
from sdxs.engines.builder import Builder
builder = Builder()
atexit.register(builder.end)
builder.later(lambda: {work})
builder.later(lambda: time.sleep(60))
time.sleep(1)
"""


@pytest.mark.parametrize("work", ["builder.run('sleeps', '')", "time.sleep(2)"])
def test_a_program_ends_while_something_is_built(work: str, tmp_path: Path) -> None:
    (tmp_path / "sleeps.py").write_text("import time\ntime.sleep(60)\n")
    start, path = time.monotonic(), os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", END.format(work=work)], capture_output=True, text=True, timeout=50,
        env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - start < 40


def test_a_process_that_fails_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"it could not be traced: .*Expecting value"):
        Builder().run("sdxs.engines", "nonsense")
    ends = {"killed": "import os; os.kill(os.getpid(), 9)", "full": "import sys; sys.exit(3)"}
    for name, code in ends.items():
        (tmp_path / f"{name}_.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="was killed by signal 9: is there too little memory"):
        Builder().run("killed_", "")
    with pytest.raises(OSError, match="exit status 3"):
        Builder().run("full_", "")


def test_nothing_is_taken_from_the_folder_one_is_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.undo()
    (tmp_path / "this_one.py").write_text("print(1)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    with pytest.raises(ValueError, match="No module named this_one"):
        Builder().run("this_one", "")


@pytest.mark.parametrize("program", ["krita", "uwsgi", ""])
def test_no_program_that_has_python_built_in_is_started(
    program: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if program:
        program = str(tmp_path / program)
        Path(program).write_text(f"#!/bin/sh\ntouch {tmp_path / 'started'}\n")
        Path(program).chmod(0o700)
    monkeypatch.setattr("multiprocessing.spawn._python_exe", os.fsencode(program))
    monkeypatch.setattr(sys, "executable", program)
    with pytest.raises(ValueError, match=r"no Python .*: multiprocessing\.set_executable"):
        Builder().run("sdxs.engines", "")
    assert not (tmp_path / "started").exists()


def test_the_python_that_processes_are_started_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("multiprocessing.spawn._python_exe", os.fsencode(sys.executable))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "krita"))
    (tmp_path / "says.py").write_text("print(1)")
    monkeypatch.syspath_prepend(tmp_path)
    assert Builder().run("says", "") == "1\n"
