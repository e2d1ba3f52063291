"""Ranks at work on this machine, as a launcher starts them; those that are left nobody ends.

A server forks them, so that none imports torch.
"""

import multiprocessing
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from programs import free_port

from sdxs.train.run import stage


def _rank(
    number: int, world: int, port: str, folder: Path, do: Callable[..., None], arguments: Any
) -> None:
    torch.set_num_threads(1)
    os.fsync = lambda _: None  # type: ignore[assignment]
    errors = os.open(folder / f"stderr-{number}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(errors, 2)
    os.environ |= {
        "RANK": str(number), "LOCAL_RANK": str(number), "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    stage.command(lambda: do(folder, *arguments))


class Launched:
    """Ranks that do a function of a folder and more arguments."""

    def __init__(self, world: int, folder: Path, do: Callable[..., None], *arguments: Any) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        port = free_port()
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.train.jobs", "accelerate"])
        self.ranks = [
            context.Process(target=_rank, args=(number, world, port, folder, do, arguments))
            for number in range(world)
        ]
        for process in self.ranks:
            process.start()

    def end(self) -> list[int | None]:
        """How each ended."""
        for process in self.ranks:
            process.join(120)
        return [process.exitcode for process in self.ranks]

    def kill(self) -> None:
        for process in self.ranks:
            os.kill(process.pid, signal.SIGKILL)

    @property
    def told(self) -> list[str]:
        """What all of them said on stderr, progress bars aside."""
        said = "".join((self.folder / f"stderr-{n}").read_text() for n in range(len(self.ranks)))
        return [line for line in said.splitlines() if line and not re.search("it/s|s/it", line)]
