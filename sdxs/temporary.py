"""Folders for what lasts as long as a program, and what sees to it that they go with it.

A program that is stopped by a signal ends as after Ctrl+C, which clears away. What one that was
killed left behind goes when the next one begins: each folder is locked while its program lives, and
the lock ends with it, whatever its number. Knows nothing of what is in them.
"""

import os
import shutil
import signal
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where folders are neither locked nor looked for
    fcntl = None  # type: ignore[assignment]

PREFIX = "sdxs-own-"
UNLOCKED = "sdxs-new-"  # until it is locked
SIGNALS = ("SIGTERM", "SIGHUP")  # that end a program on the spot unless it says otherwise


class OwnFolder:
    """A folder of this program alone, at `path`, until `remove` is called, nobody holds it, or the
    program ends."""

    def __init__(self) -> None:
        """Raises OSError."""
        self.path, lock = Path(tempfile.mkdtemp(prefix=UNLOCKED)), None
        if fcntl:
            _clear_away()
            lock = os.open(self.path, os.O_RDONLY)
            with suppress(OSError):  # a file system without locks, on which nothing is looked for
                fcntl.flock(lock, fcntl.LOCK_EX)
            self.path = self.path.rename(str(self.path).replace(UNLOCKED, PREFIX))
        self.remove = weakref.finalize(self, _remove, self.path, lock)


@contextmanager
def own_folder() -> Iterator[Path]:
    """A folder until the end of the block. Raises OSError."""
    folder = OwnFolder()
    try:
        yield folder.path
    finally:
        folder.remove()


def _remove(path: Path, lock: int | None) -> None:
    shutil.rmtree(path, ignore_errors=True)
    if lock is not None:
        os.close(lock)


def _clear_away() -> None:
    """Remove the folders of this user's programs that have ended without."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):  # gone meanwhile, someone else's, or in use
            lock = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(lock).st_uid == os.getuid():
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Until the end of the block signals that end this program raise KeyboardInterrupt, as Ctrl+C
    does; those that it was started to ignore, as by nohup, stay ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may choose
        return
    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    taken = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
