"""The stand-in's program, started, and who asks it: as a page does, and as a program does."""

import json
import os
import secrets
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from sdxs.picture import encode
from sdxs.service.drawings import data_url
from tests.bare import bare
from tests.browser.standin import Standin
from tests.programs import ROOT, free_port

Program = subprocess.Popen[str]
LONGEST = 60  # seconds that an answer may take


class Wrong(Exception):
    """An answer that is none, or another's."""


class Refused(Exception):
    """503: it was not accepted."""


def start(folder: Path, port: str, *options: object) -> Program:
    """The program, when it says that it is there. folder: for its temporary files."""
    words = [sys.executable, "-m", "tests.load.standin", "--port", port, *map(str, options)]
    env = os.environ | {"TMPDIR": str(folder)}
    program = subprocess.Popen(words, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
    assert program.stdout
    if "The page is at" not in program.stdout.readline():
        program.kill()
        raise Wrong("the program has not started")
    return program


@contextmanager
def started(folder: Path, *options: object) -> Iterator[tuple[Program, str]]:
    """The program and its address, until the end of the block."""
    port = free_port()
    program = start(folder, port, *options)
    try:
        yield program, f"http://127.0.0.1:{port}"
    finally:
        program.kill()
        program.communicate()


class Asker:
    """Asks one server. A connection for each request: one that is kept may be closed in the moment
    in which it is used again, and then nobody can say what was accepted."""

    def __init__(self, url: str) -> None:
        limits = httpx.Limits(max_keepalive_connections=0)
        self.http = httpx.AsyncClient(
            base_url=f"{url}/gradio_api", limits=limits, timeout=LONGEST, trust_env=False
        )
        config = httpx.get(f"{url}/config", trust_env=False).json()
        parts = {part["id"]: part["props"] for part in config["components"]}
        self.stage = next(i for i, own in parts.items() if own.get("elem_id") == "sdxs-stage")
        generate = next(one for one in config["dependencies"] if one["api_name"] == "generate")
        self.generates = generate["id"]
        self.usual = [parts[part].get("value") for part in generate["inputs"]]

    async def called(self, name: str, visitor: str, **request: Any) -> Any:
        """What a page is answered. Raises Refused, Wrong, httpx.HTTPError."""
        body = {
            "session_hash": visitor, "component_id": self.stage, "fn_name": name,
            "data": {"visitor": visitor, **request},
        }  # fmt: skip
        return _json(await self.http.post("/component_server/", json=body))

    async def paint(self, visitor: str, prompt: str, seed: int) -> None:
        """As a page. Raises also where it is not the right picture."""
        answer = await self.called("paint", visitor, prompt=prompt, seed=str(seed))
        if not answer.get("picture"):
            raise Wrong(answer.get("note"))
        right = data_url(encode(Standin.draw(prompt, seed)), "jpeg")
        if bare(_bytes(answer["picture"])) != bare(_bytes(right)):
            raise Wrong("another's picture")

    async def join(self, prompt: str, seed: int) -> str:
        """As a program: the name of the stream that will tell. Raises Refused, httpx.HTTPError."""
        session = secrets.token_hex(8)
        body = {
            "fn_index": self.generates, "session_hash": session,
            "data": [prompt, seed, *self.usual[2:]],
        }  # fmt: skip
        _json(await self.http.post("/queue/join", json=body))
        return session

    async def fetch(self, session: str, prompt: str, seed: int) -> None:
        """What became of what was asked for, with its file."""
        said = {}
        async with self.http.stream("GET", "/queue/data", params={"session_hash": session}) as told:
            async for line in told.aiter_lines():
                message = json.loads(line.removeprefix("data: ") or "{}")
                if message.get("msg") == "process_completed":
                    said = message
        if not said.get("success"):
            raise Wrong(said)
        file = await self.http.get(f"/file={said['output']['data'][0]['path']}")
        if file.is_error or bare(file.content) != encode(Standin.draw(prompt, seed)):
            raise Wrong(f"{file.status_code}, or another's picture")


def _json(answer: httpx.Response) -> Any:
    if answer.status_code == 503 and answer.headers.get("retry-after"):
        raise Refused
    if answer.is_error:
        raise Wrong(f"{answer.status_code} {answer.text[:200]}")
    return answer.json()


def _bytes(url: str) -> bytes:
    return b64decode(url.partition(",")[2])
