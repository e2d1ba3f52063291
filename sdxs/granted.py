"""How much of the machine this process may really use, which a container is told by cgroups.

groups is always where cgroups are mounted, own a file that names this process's, by a path below
that, which a container that sees nothing but itself does not have.
"""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

GROUPS, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def granted_cores(groups: Path = GROUPS, own: Path = OWN) -> int:
    """Cores: its affinity, and its share by cgroup quota."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min([cores, *_quotas(groups, own)])


def threads() -> int:
    """How many threads compute: as OMP_NUM_THREADS says, else one for each core that is granted."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(asked) if asked.isascii() and asked.isdigit() and int(asked) else granted_cores()


def granted_memory(groups: Path = GROUPS, own: Path = OWN) -> int:
    """Bytes: the machine's, or less by a cgroup's limit."""
    whole = int(psutil.virtual_memory().total)
    return min([whole, *_limits(groups, own)])


def _quotas(groups: Path, own: Path) -> Iterator[int]:
    """The cores that each of the cgroups grants which this process is in."""
    for folder in _folders("cpu", groups, own):
        with suppress(OSError, ValueError, ZeroDivisionError):  # no quota: none, "max" or -1
            quota, period = _quota(folder)
            if quota > 0:
                yield max(1, math.ceil(quota / period))


def _quota(folder: Path) -> tuple[float, float]:
    """Microseconds that a cgroup may compute, and of how many. Raises OSError, ValueError."""
    try:
        text = (folder / "cpu.max").read_text(encoding="ascii")
    except OSError:
        files = (folder / f"cpu.cfs_{what}_us" for what in ("quota", "period"))
        text = " ".join(file.read_text(encoding="ascii") for file in files)
    quota, period = text.split()
    return float(quota), float(period)


def _limits(groups: Path, own: Path) -> Iterator[int]:
    """The bytes that each of the cgroups grants which this process is in."""
    for folder in _folders("memory", groups, own):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with suppress(OSError, ValueError):  # no limit: none, or "max"
                yield int((folder / name).read_text(encoding="ascii"))


def _folders(kind: str, groups: Path, own: Path) -> set[Path]:
    """Of the cgroups that this process is in, as far as they are about a kind of thing."""
    folders = {groups, groups / kind}  # of version 2, of version 1
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    for line in lines:
        kinds, _, path = line.partition(":")[2].partition(":")
        if not kinds or kind in kinds.split(","):
            below = Path(path.lstrip("/"))
            mounts = (groups / kind, groups / kinds)
            folders |= {mount / part for mount in mounts for part in (below, *below.parents)}
    return folders
