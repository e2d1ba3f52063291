"""What people give for weights, and for the names of models, that is nearly it.

Knows nothing of what is in weights, nor of where models are looked for.
"""

import os
import re
from pathlib import Path

START = 512  # bytes
QUOTES = "\"'"
PAGE = re.compile(
    r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/([\w.-]+/[\w.-]+)(?:/tree/([\w./-]+?))?/?"
)
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+/")


def as_meant(name: str) -> str:
    """A name or a path without what comes along where it is copied from: white space, quotes, the
    rest of a page's address on the Hub, and the slash after a Hub id."""
    name = name.strip()
    if len(name) > 1 and name[0] == name[-1] and name[0] in QUOTES:
        name = name[1:-1].strip()
    if page := PAGE.fullmatch(name):
        return page[1] + (f"@{page[2]}" if page[2] else "")
    return name.rstrip("/") if HUB_ID.fullmatch(name) else name


def instead_of_weights(file: Path) -> str:
    """What a file is that was taken for weights, and what helps; "" where nothing is known."""
    try:
        os.fspath(file).encode()
    except UnicodeEncodeError:
        return "lies under a name that is no UTF-8, which weights cannot be read by: rename it"
    try:
        with open(file, "rb") as opened:
            start = opened.read(START).lstrip()
    except OSError:
        return ""
    if start.startswith(b"version https://git-lfs"):
        return "is only a pointer to the weights, of Git LFS: fetch them, `git lfs pull` does"
    if start.startswith(b"<"):
        return "is a web page, not weights: fetch it again, where the page says download"
    return "" if start else "is empty: fetch it again"
