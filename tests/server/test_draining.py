"""The end after a signal: what is refused, what is waited for, and that it comes."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from programs import ROOT

from sdxs.server import draining
from sdxs.server.draining import Drain, Draining

PROGRAM = """
import atexit, ctypes, sys, threading
from sdxs.server import draining
atexit.register(lambda: print("too late"))
atexit.register(draining.leave_once_drained)
atexit.register(lambda: print("exit"))
draining.ANSWERED, draining.TOLD, draining.LAST, draining.QUIET = 0.5, 0.6, 1, 0.1
draining.KILLED = 2
drain = draining.Drain()
with drain.by_signals(lambda: print("cleared", flush=True)):
    print("there", flush=True)
    if "busy" in sys.argv:
        drain._under_way = 1
    drain.wait(lambda: print("told", flush=True))
    print("over", flush=True)
    if "hangs" in sys.argv:
        threading.Event().wait()
    if "holds" in sys.argv:  # what every other thread needs
        ctypes.PyDLL(None).sleep(100)
"""


def ended(*how: str, by: int = signal.SIGTERM, times: int = 1) -> tuple[list[str], int]:
    """What a program says from a signal on, and its exit status."""
    command = [sys.executable, "-c", PROGRAM, *how]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout and program.stdout.readline() == "there\n"
        for _ in range(times):
            program.send_signal(by)
            time.sleep(0.1)  # two at once are one
        said, _ = program.communicate(timeout=60)
    return said.split(), program.returncode


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
def test_a_signal_ends_it_and_a_second_one_at_once() -> None:
    assert ended() == (["told", "over", "exit"], 0)
    assert ended("busy", by=signal.SIGINT) == (["told", "over", "exit"], 0)
    assert ended("busy", "hangs") == (["told", "over", "cleared"], 0)
    assert ended("busy", "holds") == (["told", "over"], -signal.SIGALRM)
    assert ended("busy", times=2) == (["cleared"], 128 + signal.SIGTERM)


def asked(drain: Drain, method: str = "POST", path: str = "/gradio_api/queue/join") -> list[Any]:
    """What is sent, of a server that says how many requests it counts."""
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(drain._under_way)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": []}
    asyncio.run(Draining(app, drain)(scope, None, send))
    return sent


def test_what_is_new_is_refused_and_what_is_fetched_is_not() -> None:
    drain = Drain()
    assert asked(drain) == [1] and drain._under_way == 0
    drain.begun = True
    start, body = asked(drain)
    assert start["status"] == 503 and dict(start["headers"])[b"retry-after"].isdigit()
    assert body["body"].decode() == draining.REFUSED
    assert asked(drain, "GET", "/gradio_api/file=/a.jpg") == [1]
    assert asked(drain, "GET", "/gradio_api/queue/data") == [1]
    assert asked(drain, "GET", "/gradio_api/heartbeat/abc") == [0]  # it ends with the server
    assert asked(drain, "GET", "/readyz") == [0]


def test_it_waits_for_answers_and_for_who_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    now, events = [100.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    drain = Drain()
    answer = drain.request()
    answer.__enter__()

    def sleep(seconds: float) -> None:
        now[0] += seconds
        if now[0] > 101 and not events:
            events.append(now[0])
            answer.__exit__(None, None, None)

    monkeypatch.setattr(time, "sleep", sleep)
    drain.begun, drain._signalled = True, now[0]
    drain.wait(lambda: events.append(now[0]))
    answered, told = events
    assert draining.QUIET < told - answered < draining.QUIET + 0.1
    assert now[0] == told  # nobody is left to tell


def test_it_waits_for_who_is_owed_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    now, events = [100.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    drain = Drain()
    drain.begun, drain._signalled = True, now[0]
    drain.wait(lambda: events.append(now[0]), lambda: now[0] < 102)
    assert 102 < events[0] < 102.1
    drain.wait(lambda: events.append(now[0]), lambda: True)  # not for ever
    assert draining.ANSWERED < events[1] - 100 < now[0] - 100 < draining.LAST
