"""Who builds: one thing at a time, now or in the background, some of it in a process of its own.

Knows nothing of what is built.
"""

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from multiprocessing.spawn import get_executable
from pathlib import Path

from sdxs.temporary import OwnFolder

FULL = 3  # exit status of a process that could not write


PYTHONS = ("python", "pypy", "graalpy")  # in the names of programs that run modules


class Stopped(Exception):
    """The program ends, or nobody needs it any more."""


class Builder:
    """Does one thing at a time, at once or later in a thread that does not keep a program alive."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._starting = threading.Lock()
        self._queue: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[str] | None = None
        self._folder: OwnFolder | None = None
        self.ending = False

    def now(self, work: Callable[[], None]) -> None:
        with self._turn:
            work()

    def later(self, work: Callable[[], None]) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="sdxs-builder", daemon=True)
                self._thread.start()
        self._queue.put(work)

    def _work(self) -> None:
        while not self.ending:
            work = self._queue.get()
            if not self.ending:
                self.now(work)
            del work  # it holds who asked for it, which may wait for long to be asked again

    def run(self, module: str, told: str) -> str:
        """All that a module prints, which is run as a process with this as its input.

        Raises OSError where it could not write, ValueError with the last line of its complaint or
        where there is no Python to run it, Stopped.
        """
        path = os.pathsep.join(place or os.getcwd() for place in sys.path)
        process = subprocess.Popen(
            [_python(), "-P", "-m", module],  # -P: nothing from the folder one is in
            env=os.environ | {"PYTHONPATH": path}, encoding="utf-8",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self._process = process
        try:
            if self.ending:
                process.kill()
            printed, complaint = process.communicate(told)
        except BaseException:
            process.kill()
            raise
        finally:
            self._process = None
        if self.ending:
            raise Stopped
        if process.returncode < 0:
            raise ValueError(
                f"the process that traces was killed by signal {-process.returncode}: "
                "is there too little memory?"
            )
        if process.returncode:
            last = (complaint.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
            if process.returncode == FULL:
                raise OSError(last)
            raise ValueError(f"it could not be traced: {last}")
        return printed

    def own_folder(self) -> Path:
        """A folder that goes with this builder."""
        if self._folder is None:
            self._folder = OwnFolder()
        return self._folder.path

    def end(self) -> None:
        """Nothing is begun any more, and what goes on is over. Before the program ends: a library's
        compiler must not outlive Python."""
        self.ending = True
        if (process := self._process) is not None:
            process.kill()
        self._queue.put(lambda: None)
        with self._turn:
            if self._folder is not None:
                self._folder.remove()


def _python() -> str:
    """The program that runs this, which another one may have built in and would be started once
    more by its own name. Raises ValueError."""
    program = os.fsdecode(get_executable() or "")
    if getattr(sys, "frozen", False) or not any(name in Path(program).name for name in PYTHONS):
        raise ValueError(
            f"{program or 'this program'} is no Python that could run a process: "
            "multiprocessing.set_executable names one"
        )
    return program
