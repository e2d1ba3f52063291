"""What the program says while it runs: lines for people, or JSON for what collects them.

Knows nothing of what there is to say.
"""

import contextvars
import hashlib
import io
import json
import logging
import secrets
import sys
from datetime import UTC, datetime
from typing import Any

from sdxs.errors import one_line

FORMATS = "text", "json"
OTHERS = "uvicorn", "uvicorn.error", "uvicorn.access"  # that bring handlers of their own
LONGEST = 10_000  # characters of a line of theirs

visitor: contextvars.ContextVar[str] = contextvars.ContextVar("visitor", default="")
_KEY = secrets.token_bytes(16)


def hashed(address: str) -> str:
    """The same for an address while the program runs, and nothing after."""
    return hashlib.blake2b(address.encode(), digest_size=6, key=_KEY).hexdigest()


def begin(format: str) -> None:
    """Everything that is logged goes to standard error, in one of `FORMATS`. Requests and pictures
    are told in JSON alone."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Json() if format == "json" else logging.Formatter("sdxs: %(message)s"))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("sdxs").setLevel(logging.INFO)  # which model, why, how to get the real one
    logging.getLogger("sdxs.told").setLevel(logging.INFO if format == "json" else logging.WARNING)
    if format == "json":
        logging.captureWarnings(True)
        sys.stdout, sys.stderr = Lines("stdout", logging.INFO), Lines("stderr")  # of others


def adopt() -> None:
    """What others log goes the same way."""
    for name in OTHERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True


class Json(logging.Formatter):
    """A record as one line: time, level, what is said, and the fields that came with it."""

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "from": record.name,
            "said": one_line(record.getMessage(), LONGEST),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            said["error"] = self.formatException(record.exc_info)
        return json.dumps(said, default=str)


class Lines(io.TextIOBase):
    """A stream whose lines are logged, for what does not log."""

    def __init__(self, name: str, level: int = logging.WARNING) -> None:
        self._rest, self._level = "", level
        self._log = logging.getLogger(name)
        self._log.setLevel(level)

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in filter(str.strip, lines):
            self._log.log(self._level, "%s", line)
        return len(text)

    def isatty(self) -> bool:
        return False
