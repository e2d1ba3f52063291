"""Gradio's server, given the time that it needs to start.

Gradio waits five seconds for one, and then tries the next port with the same application, which
can be started but once: on a machine that is busy, or was asleep, a page would never be up, and
ports would be blamed that are free.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gradio import http_server
from gradio.exceptions import ServerFailedToStartError


class Server(http_server.Server):
    """Waited for as long as it is at it."""

    def run_in_thread(self) -> None:
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        while self.thread.is_alive() and not self.started:
            time.sleep(1e-3)
        if not self.started:
            raise ServerFailedToStartError(f"port {self.config.port}")


@contextmanager
def in_its_time() -> Iterator[None]:
    """Servers that Gradio starts in the block are `Server`."""
    there: Any = http_server
    given, there.Server = there.Server, Server
    try:
        yield
    finally:
        there.Server = given
