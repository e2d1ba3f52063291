"""The end of a program that serves: from a signal on nothing new begins, what was accepted is
answered, and the program ends within seconds, whatever goes on in it.

Knows nothing of pages or models.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP")
# seconds from the signal on
ANSWERED = 3.0  # until then what was accepted may be answered; then whoever waits is told
TOLD = 3.4  # until then that may be sent
CLOSED = 0.4  # in so many more, connections are closed
LAST = 4.2  # the end of a program that has not ended by itself
KILLED = 4.8  # and of one in which a library keeps Python itself from going on
QUIET = 0.75  # without a request: who was answered may come back for a file
RETRY_AFTER = 5
REFUSED = "The server is about to start anew; ask again in a moment."
ASKING = ("GET", "HEAD", "OPTIONS")  # methods that begin nothing
UNCOUNTED = ("/healthz", "/readyz", "/metrics")  # asked again and again


_drained = False  # whether this program has, and only has to go


def leave_once_drained() -> None:
    """For `atexit`, before anything else is registered, so that it comes last: what Python would
    then take apart piece by piece, which can take seconds, goes with the process."""
    if _drained:
        sys.stdout.flush()
        os._exit(0)


class Drain:
    """Where a program is on its way to the end. begun: nothing new is accepted."""

    def __init__(self) -> None:
        self.begun = False
        self._under_way = 0
        self._last = 0.0  # when a request ended
        self._signalled = 0.0

    @contextmanager
    def request(self) -> Iterator[None]:
        """While one that counts is answered."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            self._last = time.monotonic()

    @contextmanager
    def by_signals(self, clear: Callable[[], None]) -> Iterator[None]:
        """Until the end of the block the first signal begins this, and the second one ends the
        program at once; those that it was started to ignore stay ignored. clear: has nothing left
        behind where the program ends in the middle of something."""

        def heard(number: int, _: FrameType | None) -> None:
            if self.begun:
                _leave(128 + number, clear)
            self.begun, self._signalled = True, time.monotonic()
            threading.Thread(target=self._leave_at_last, args=[clear], daemon=True).start()
            if hasattr(signal, "setitimer"):
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.setitimer(signal.ITIMER_REAL, KILLED)

        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread may choose
            return
        known = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
        taken = {number: signal.getsignal(number) for number in known}
        for number, before in taken.items():
            if before != signal.SIG_IGN:
                signal.signal(number, heard)
        try:
            yield
        finally:
            global _drained
            _drained = self.begun
            for number, before in taken.items():
                signal.signal(number, before)

    def wait(self, end: Callable[[], None], owes: Callable[[], bool] = lambda: False) -> None:
        """Until a signal has come, and all that was accepted by then is answered. end: tells
        whoever still waits that they wait for nothing. owes: whether somebody who has gone is to
        come back for an answer."""
        while not self.begun:
            time.sleep(0.1)  # a signal is heard in the middle of it
        self._answered(ANSWERED, owes)
        end()
        self._answered(TOLD, owes)

    def _answered(self, until: float, owes: Callable[[], bool]) -> None:
        """Until nobody is there any more, or it is late."""
        while (now := time.monotonic()) < self._signalled + until:
            if not self._under_way and now - self._last > QUIET and not owes():
                return
            time.sleep(0.02)

    def _leave_at_last(self, clear: Callable[[], None]) -> None:
        time.sleep(LAST)
        _leave(0, clear)


def _leave(status: int, clear: Callable[[], None]) -> None:
    """End the program, whatever its threads do."""
    clear()
    sys.stdout.flush()
    os._exit(status)


class Draining:
    """ASGI middleware that refuses what is new from then on, and counts what is under way."""

    def __init__(self, app: ASGIApp, drain: Drain) -> None:
        self.app, self.drain = app, drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or path.endswith(UNCOUNTED) or "/heartbeat/" in path:
            return await self.app(scope, receive, send)
        if self.drain.begun and scope["method"] not in ASKING:
            later = {"Retry-After": str(RETRY_AFTER), "Connection": "close"}
            return await PlainTextResponse(REFUSED, 503, later)(scope, receive, send)
        with self.drain.request():
            await self.app(scope, receive, send)
