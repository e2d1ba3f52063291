"""Graphs that are kept on disk: a folder each, under a name that says all they depend on.

In the user's cache folder, or where `SDXS_CACHE` says. What is torn, changed or foreign is thrown
away; where nothing can be written, they are kept for this process alone.
"""

import hashlib
import json
import logging
import os
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

PLACE = "SDXS_CACHE"  # environment variable
ENTRY = "entry.json"
LARGEST = 12_000_000_000  # bytes of all graphs; those not used for longest go first
BLOCK = 1 << 22


def cache_folder() -> Path:
    """Where graphs are kept; it need not be there yet."""
    if place := os.environ.get(PLACE):
        return Path(place)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "~/AppData/Local")
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(base).expanduser() / "sdxs"


def fingerprint(*places: Path) -> str:
    """A digest of the content of files, and of all files in folders, with their names."""
    digest = hashlib.sha256()
    for place in places:
        files = sorted(p for p in place.rglob("*") if p.is_file()) if place.is_dir() else [place]
        for file in files:
            digest.update(f"{file.relative_to(place)} {file.stat().st_size}\n".encode())
            with file.open("rb") as opened:
                while block := opened.read(BLOCK):
                    digest.update(block)
    return digest.hexdigest()


def name_of(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def found(facts: Mapping[str, Any], root: Path) -> Path | None:
    """The folder of the graph with these facts, if it is there and whole."""
    folder = root / name_of(facts)
    if not folder.is_dir():
        return None
    try:
        entry = json.loads((folder / ENTRY).read_text(encoding="utf-8"))
        whole = entry["facts"] == dict(facts) and entry["files"] == _sums(folder)
    except (OSError, ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        log.warning("%s is damaged and made anew", folder)
        shutil.rmtree(folder, ignore_errors=True)
        return None
    os.utime(folder)
    return folder


def keep(facts: Mapping[str, Any], root: Path, write: Callable[[Path], None]) -> Path:
    """The folder that `write` fills, in its place only when it is whole. Raises OSError."""
    root.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=root))
    try:
        write(unfinished)
        entry = {"facts": dict(facts), "files": _sums(unfinished)}
        (unfinished / ENTRY).write_text(json.dumps(entry, indent=2) + "\n", encoding="utf-8")
        folder = root / name_of(facts)
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.replace(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    _forget_oldest(root, folder)
    return folder


def _sums(folder: Path) -> dict[str, list[int]]:
    """Size and checksum of each file but the entry itself."""
    sums = {}
    for file in sorted(folder.iterdir()):
        if file.name != ENTRY:
            sum_ = 0
            with file.open("rb") as opened:
                while block := opened.read(BLOCK):
                    sum_ = zlib.crc32(block, sum_)
            sums[file.name] = [file.stat().st_size, sum_]
    return sums


def _forget_oldest(root: Path, newest: Path) -> None:
    """Keep to `LARGEST`."""
    folders = sorted((p for p in root.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime)
    sizes = {p: sum(file.stat().st_size for file in p.iterdir()) for p in folders}
    for folder in folders:
        if sum(sizes.values()) > LARGEST and folder != newest:
            shutil.rmtree(folder, ignore_errors=True)
            del sizes[folder]
