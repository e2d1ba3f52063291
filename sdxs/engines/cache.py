"""Graphs that are kept on disk: a folder each, under a name that says all they depend on.

In the user's cache folder, or where `SDXS_CACHE` says. What is torn, changed or foreign is thrown
away. Any number of programs may use them at once.
"""

import functools
import hashlib
import json
import logging
import os
import shutil
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

PLACE = "SDXS_CACHE"  # environment variable
ENTRY = "entry.json"
COMPILED = "compiled"  # folder in a kept one, of what a runtime makes of it and checks by itself
UNFINISHED = "unfinished-"
ABANDONED = 3600  # seconds after which what is unfinished has been left behind
LARGEST = 12_000_000_000  # bytes of all graphs; those not used for longest go first
BLOCK = 1 << 22

Stamps = dict[str, list[int]]  # file -> size and time of the last change


def cache_folder() -> Path:
    """Where graphs are kept; it need not be there yet. Raises OSError where there is no home."""
    if place := os.environ.get(PLACE):
        return _at_home(place)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "~/AppData/Local")
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return _at_home(base) / "sdxs"


def _at_home(place: str) -> Path:
    try:
        return Path(place).expanduser()
    except RuntimeError:  # a user without a name, as in a container
        raise FileNotFoundError(
            f"there is no home for {place}: {PLACE} may name a folder"
        ) from None


def stamps(files: Mapping[str, Path]) -> Stamps:
    """What tells that a file is another one, without reading it. Raises OSError."""
    found = {name: file.stat() for name, file in files.items()}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in found.items()}


def fingerprint(files: Mapping[str, Path]) -> str:
    """A digest of the names and contents of files. Raises OSError."""
    digest = hashlib.sha256()
    for name, file in sorted(files.items()):
        stat = file.stat()
        line = f"{name} {_digest(str(file), stat.st_size, stat.st_mtime_ns)}\n"
        digest.update(line.encode(errors="backslashreplace"))  # a name may be no UTF-8
    return digest.hexdigest()


@functools.lru_cache(maxsize=256)
def _digest(file: str, size: int, changed: int) -> str:
    """Of one file's content; read again only when its size or time has changed."""
    digest = hashlib.sha256()
    with open(file, "rb") as opened:
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
        _remove(folder)
        return None
    used(folder)
    return folder


def has(facts: Mapping[str, Any], root: Path) -> bool:
    """Whether there is such a folder; whether it is whole, `found` says."""
    return (root / name_of(facts)).is_dir()


def mark(folder: Path, name: str) -> None:
    """Note something about a kept folder, beside it; gone when that is."""
    with suppress(OSError):  # a cache that is only read
        _mark(folder, name).touch()


def is_marked(folder: Path, name: str) -> bool:
    return _mark(folder, name).is_file()


def _mark(folder: Path, name: str) -> Path:
    return folder.with_name(f"{folder.name}.{name}")


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for file in folder.parent.glob(f"{folder.name}.*"):
        file.unlink(missing_ok=True)


def used(folder: Path) -> None:
    """A graph has been used now."""
    with suppress(OSError):  # a cache that is only read
        os.utime(folder)


def keep(facts: Mapping[str, Any], root: Path, write: Callable[[Path], None]) -> Path:
    """The folder that `write` fills, in its place only when it is whole. Raises OSError."""
    root.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=root))
    folder = root / name_of(facts)
    try:
        write(unfinished)
        entry = {"facts": dict(facts), "files": _sums(unfinished)}
        (unfinished / ENTRY).write_text(json.dumps(entry, indent=2) + "\n", encoding="utf-8")
        try:
            unfinished.replace(folder)
        except OSError:  # another program was faster
            if found(facts, root) is None:
                unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    with suppress(OSError):
        _forget_oldest(root, folder)
    return folder


def _sums(folder: Path) -> dict[str, list[int]]:
    """Size and checksum of each file but the entry itself, and what is compiled."""
    sums = {}
    for file in sorted(folder.iterdir()):
        if file.name not in (ENTRY, COMPILED):
            sum_ = 0
            with file.open("rb") as opened:
                while block := opened.read(BLOCK):
                    sum_ = zlib.crc32(block, sum_)
            sums[file.name] = [file.stat().st_size, sum_]
    return sums


def _forget_oldest(root: Path, newest: Path) -> None:
    """Keep to `LARGEST`, and clear away what was left behind."""
    folders = sorted((p for p in root.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime)
    sizes = {p: sum(file.stat().st_size for file in p.rglob("*")) for p in folders}
    for folder in folders:
        if folder.name.startswith(UNFINISHED):
            gone = folder.stat().st_mtime < time.time() - ABANDONED
        else:
            gone = sum(sizes.values()) > LARGEST and folder != newest
        if gone:
            _remove(folder)
            del sizes[folder]
