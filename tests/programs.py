"""Programs and pages: started, asked, and stopped again."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[1]
Done = subprocess.CompletedProcess[str]


def run(*command: object, cwd: Path = ROOT, env: Mapping[str, str] = os.environ) -> Done:
    """What a command said, at its end."""
    words = list(map(str, command))
    return subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, timeout=300)


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def lacking(what: str) -> NoReturn:
    """Of what a test needs and this machine has not: on CI a failure, elsewhere a skip."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(what)


@contextmanager
def listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of a server of this program, until the end of the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def running(*command: object, env: Mapping[str, str], log: Any) -> Iterator[str]:
    """The first line that a page's program says, which then runs until the end of the block."""
    words, pipe = [sys.executable, *map(str, command)], subprocess.PIPE
    with subprocess.Popen(words, cwd=ROOT, env=env, stdout=pipe, stderr=log, text=True) as program:
        try:
            yield program.stdout.readline()
        finally:
            program.terminate()
            program.communicate(timeout=100)


@contextmanager
def served(page: Any, **options: Any) -> Iterator[str]:
    """The address of a page, while it is served from this process, by default at a port of its
    own: which Gradio finds, another program may find at the same time."""
    quiet = {"quiet": True, "prevent_thread_lock": True}
    options = {"server_port": int(free_port()), **quiet, **options}
    page.launch(server_name="127.0.0.1", **options)
    try:
        yield page.local_url
    finally:
        page.close()
