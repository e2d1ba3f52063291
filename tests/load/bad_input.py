"""Bad input to a public page: python -m tests.load.bad_input [--requests 100000] [--seed 0]

Starts a page on a stand-in as `--public` starts it, and sends what schemathesis makes of every
OpenAPI description there is, mutated paths, methods and payloads of Gradio's, replays of its
published vulnerabilities, and malformed HTTP. Fails where an answer has status 5xx, takes over two
seconds, breaks off or tells of the server's inside, where a smuggled request is answered, or where
memory grows by more than 100 MB. The last line is JSON.
"""

import argparse
import http.client
import json
import os
import platform
import random
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import psutil
import requests

from sdxs.server import start
from sdxs.service.about import About
from tests.browser.standin import Follower
from tests.load.described import described, descriptions
from tests.load.mutated import payloads, routes, valid_calls
from tests.load.published import Sent, vulnerabilities
from tests.load.smuggled import ANSWERED, MALFORMED, SMUGGLED
from tests.programs import free_port, running

LONGEST = 2.0  # seconds
LONGEST_HEAD = 60_000  # bytes; uvicorn reads 65,536
MOST_GROWTH = 100  # MB, of what it is after a tenth of the requests
SHARES = {"described": 0.2, "routes": 0.3, "payloads": 0.5}
DESCRIPTIONS = (
    "/gradio_api/openapi.json", "/v1/openapi.json", "/api/openapi.json", "/sdapi/v1/openapi.json",
    "/controlnet/openapi.json",
)  # fmt: skip
SECRETS = b"Traceback", b"site-packages", b'File "/', b"root:x:0:"


class Attack:
    """Sends requests one by one, and keeps count of what comes of them."""

    def __init__(self, port: int, memory: Any) -> None:
        self._port, self._memory = port, memory
        self._plug: socket.socket | None = None
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.wrong: list[str] = []
        self.slowest, self.sent, self.sizes = 0.0, 0, [memory()]

    def send(self, sent: Sent) -> None:
        begin = time.perf_counter()
        try:
            status, body = self._asked(sent)
        except (OSError, http.client.HTTPException) as error:
            status, body = 0, type(error).__name__.encode()
            if sent.raw.find(b"\r\n\r\n") > LONGEST_HEAD:
                status = 400  # which was said, but not heard: it was still being sent
        seconds = time.perf_counter() - begin
        self.slowest = max(self.slowest, seconds)
        self.statuses[sent.named if sent.named in SHARES else "published", status] += 1
        self.sent += 1
        if self.sent % 1000 == 0:
            self.sizes.append(self._memory())
        inside = any(secret in body for secret in SECRETS)
        if not status or status >= 500 or seconds > LONGEST or inside:
            self.wrong.append(
                f"{sent.named}: {status} in {seconds:.1f} s: {sent.raw[:300]!r} {body[:200]!r}"
            )

    def smuggle(self, sent: Sent) -> None:
        """Whatever comes of it, what is hidden in it is not answered, and it is no error here."""
        said = b""
        with socket.create_connection(("127.0.0.1", self._port), timeout=1) as plug:
            try:
                plug.sendall(sent.raw)
                while part := plug.recv(65536):
                    said += part
            except OSError:
                pass
        self.sent += 1
        self.statuses["malformed", int(said[9:12] or 0)] += 1
        if ANSWERED in said or said.count(b"HTTP/1.1 ") > 1 or said[9:10] == b"5":
            self.wrong.append(f"{sent.named}: {said[:300]!r}")

    def _asked(self, sent: Sent) -> tuple[int, bytes]:
        reused = self._plug is not None and not sent.alone
        try:
            return self._answer(sent)
        except (OSError, http.client.HTTPException):
            self._leave()
            if not reused:
                raise
        return self._answer(sent)  # the server may have closed what it kept

    def _answer(self, sent: Sent) -> tuple[int, bytes]:
        if sent.alone:
            self._leave()
        if self._plug is None:
            self._plug = socket.create_connection(("127.0.0.1", self._port), timeout=30)
        self._plug.sendall(sent.raw)
        answer = http.client.HTTPResponse(self._plug, method=sent.raw.split(b" ")[0].decode())
        answer.begin()
        streams = "event-stream" in (answer.getheader("Content-Type") or "")
        body = b"" if streams else answer.read()
        if streams or answer.will_close or sent.alone:
            self._leave()
        return answer.status, body

    def _leave(self) -> None:
        if self._plug:
            self._plug.close()
        self._plug = None


def make_page(options: argparse.Namespace) -> object:
    from sdxs.page.ui import sketch_page  # Gradio reads where temporary files go as it is imported

    about = About(
        checkpoint="standin", conditions=("sketch", "canny"), styles=("ink",), size=(128, 128),
        decoders=("tiny", "large"), templates={"plain": "{prompt}"},
    )  # fmt: skip
    return sketch_page(Follower(0), Follower.condition, about=about, together=8)


@contextmanager
def served() -> Iterator[tuple[int, Any]]:
    """The port of a public page in a program of its own, and how much memory it has, in MB."""
    port, most = free_port(), str(10**9)
    options = ["--public", "--port", port, "--visitor-requests", most, "--all-requests", most]
    command = ["-m", "tests.load.bad_input", "--serve", *options]
    with tempfile.TemporaryDirectory() as folder, open(f"{folder}/log", "w+") as log:
        env = os.environ | {"TMPDIR": folder}
        with running(*command, env=env, log=log) as said:
            if port not in said:
                log.seek(0)
                raise SystemExit(log.read())
            child = next(
                one for one in psutil.Process().children(recursive=True) if port in one.cmdline()
            )
            yield int(port), lambda: child.memory_info().rss / 2**20


def attack(port: int, memory: Any, count: int, seed: int) -> Attack:
    address, chance = f"http://127.0.0.1:{port}", random.Random(seed)
    attack = Attack(port, memory)
    config = requests.get(f"{address}/config", timeout=10).json()
    info = requests.get(f"{address}/gradio_api/info", timeout=10).json()["named_endpoints"]
    values = {
        name.strip("/"): [one.get("parameter_default") for one in function["parameters"]]
        for name, function in info.items()
    }
    for sent in vulnerabilities("generate", values["generate"][1:]):
        attack.send(sent)
    for sent in SMUGGLED + MALFORMED:
        attack.smuggle(sent)
    there = descriptions(address, DESCRIPTIONS)
    for place, raw in there.items():
        share = int(count * SHARES["described"] / len(there))
        for operation in described(address, raw, share, seed, attack.send):
            print(f"{place}: {operation}", flush=True)
    for sent in islice(routes(chance), int(count * SHARES["routes"])):
        attack.send(sent)
    for sent in islice(payloads(chance, valid_calls(config, values)), max(0, count - attack.sent)):
        attack.send(sent)
    attack.sizes.append(memory())
    return attack


def main() -> int:
    if "--serve" in sys.argv:
        arguments = [argument for argument in sys.argv[1:] if argument != "--serve"]
        return start.run(make_page, start.parser().parse_args(arguments))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    begin = time.perf_counter()
    with served() as (port, memory):
        found = attack(port, memory, options.requests, options.seed)
    return report(found, options.seed, time.perf_counter() - begin)


def report(found: Attack, seed: int, seconds: float) -> int:
    for (named, status), count in sorted(found.statuses.items()):
        print(f"{named:10} {status} {count:7}")
    warm = found.sizes[len(found.sizes) // 10]
    growth = max(found.sizes) - warm
    if growth > MOST_GROWTH:
        found.wrong.append(f"memory grew by {growth:.0f} MB")
    tenths = found.sizes[:: max(1, len(found.sizes) // 10)]
    print("memory, MB:", *(f"{size:.0f}" for size in [*tenths, found.sizes[-1]]))
    for line in found.wrong[:20]:
        print(line)
    told = {
        "requests": found.sent, "seed": seed, "wrong": len(found.wrong), "minutes": seconds / 60,
        "slowest_s": found.slowest, "warm_mb": warm, "growth_mb": growth,
        "cores": os.cpu_count(), "machine": platform.machine(),
    }  # fmt: skip
    rounded = {name: round(one, 2) if isinstance(one, float) else one for name, one in told.items()}
    print(json.dumps(rounded))
    return bool(found.wrong)


if __name__ == "__main__":
    sys.exit(main())
