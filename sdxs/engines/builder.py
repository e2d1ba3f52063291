"""Who builds: one thing at a time, now or in the background, some of it in a process of its own.

Knows nothing of what is built.
"""

import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Stopped(Exception):
    """The program ends."""


class Builder:
    """Does one thing at a time, at once or later in a thread that does not keep a program alive."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._queue: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[str] | None = None
        self._folder: Any = None
        self._ending = False

    def now(self, work: Callable[[], None]) -> None:
        with self._turn:
            work()

    def later(self, work: Callable[[], None]) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="sdxs-builder", daemon=True)
            self._thread.start()
        self._queue.put(work)

    def _work(self) -> None:
        while not self._ending:
            work = self._queue.get()
            if not self._ending:
                self.now(work)

    def run(self, module: str, told: str) -> str:
        """The last line that a module run as a process prints. Raises OSError, ValueError with the
        last line of its complaint, Stopped."""
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        process = subprocess.Popen(
            [sys.executable, "-m", module], env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self._process = process
        if self._ending:
            process.kill()
        printed, complaint = process.communicate(told)
        self._process = None
        if self._ending:
            raise Stopped
        if process.returncode:
            lines = complaint.strip().splitlines() or [f"exit status {process.returncode}"]
            raise ValueError(f"it could not be traced: {lines[-1]}")
        return printed.strip().splitlines()[-1]

    def own_folder(self) -> Path:
        """A folder that goes with this process."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="sdxs-graphs-")
        return Path(self._folder.name)

    def end(self) -> None:
        """Nothing is begun any more, and what goes on is over. Before the program ends: a library's
        compiler must not outlive Python."""
        self._ending = True
        if self._process is not None:
            self._process.kill()
        self._queue.put(lambda: None)
        with self._turn:
            pass
