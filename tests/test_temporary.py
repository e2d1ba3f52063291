"""Folders that go with their program, however it ends."""

import gc
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from programs import ROOT

from sdxs.temporary import PREFIX, OwnFolder, ended_by_signals, own_folder

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no locks on folders")
PROGRAM = """
import time
from sdxs.temporary import ended_by_signals, own_folder
try:
    with ended_by_signals(), own_folder() as folder:
        (folder / "file").touch()
        print(folder, flush=True)
        time.sleep(100)
except KeyboardInterrupt:
    print("ended")
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def stopped(by: int, *before: str) -> tuple[Path, str, int]:
    """The folder of a program that a signal stops, what it said then, and its exit status."""
    command = [*before, sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout
        folder = Path(program.stdout.readline().strip())
        assert (folder / "file").is_file()
        program.send_signal(by)
        said, _ = program.communicate(timeout=60)
    return folder, said, program.returncode


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal(by: int, place: Path) -> None:
    _, said, status = stopped(by)
    assert (said, status, list(place.iterdir())) == ("ended\n", 0, [])


def test_the_next_one_clears_away_what_one_that_was_killed_left(place: Path) -> None:
    killed, _, status = stopped(signal.SIGKILL)
    assert status == -signal.SIGKILL and killed.is_dir()
    others = [place / "sdxs-page", place / "gradio", place / "sdxs-new-abc"]
    for folder in others:
        folder.mkdir()
    (place / f"{PREFIX}file").touch()
    (place / f"{PREFIX}link").symlink_to(others[0])
    kept = OwnFolder()  # in use
    with own_folder() as own:
        left = {*others, place / f"{PREFIX}file", place / f"{PREFIX}link", kept.path, own}
        assert set(place.iterdir()) == left
    assert kept.path.is_dir() and not own.exists()
    kept.remove()
    kept.remove()  # once is enough
    assert not kept.path.exists()


def test_one_that_nobody_holds(place: Path) -> None:
    folder = OwnFolder()
    assert folder.path.is_dir()
    del folder
    gc.collect()
    assert not list(place.iterdir())


def test_signals_that_are_ignored_stay_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with ended_by_signals():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) == signal.default_int_handler
    finally:
        signal.signal(signal.SIGHUP, before)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_another_thread_leaves_signals_alone() -> None:
    def work() -> None:
        with ended_by_signals():
            found.append(signal.getsignal(signal.SIGTERM))

    found: list[object] = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.SIG_DFL]
