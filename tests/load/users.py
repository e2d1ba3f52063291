"""Who asks a page under load, as users of locust: people who type, and those who never pause.

A user tells locust of each picture that came, and of each key whose picture did; what did not come
is a failure. Importing this turns the program's own sockets into gevent's: it is for programs that
do nothing else. Knows nothing of models, and nothing of what is made of the numbers.
"""

import itertools
import json
import random
import secrets
import time
from base64 import b64decode
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gevent
from gevent.event import Event
from locust import FastHttpUser, task
from locust.exception import StopUser

from sdxs.service.turns import STALE
from tests.load.pages import Page
from tests.load.program import Asker

KEY = 0.06  # seconds between two keys
PAUSE = 0.75, 1.25  # seconds between two sentences, after the first one's picture
PATIENCE = 120  # seconds for an answer, as server.js has it
PLACE = 1.0  # seconds between two questions where a request stands
ANOTHERS = "another's picture"

numbers = itertools.count()


@dataclass
class Load:
    """What users share: the page, who knows its names, what they write, and whether another burst
    begins, which counts it."""

    page: Page
    asker: Asker
    prompts: Sequence[str]
    begins: Callable[[], bool]


class User(FastHttpUser):
    """Somebody at a page."""

    abstract = True
    network_timeout = connection_timeout = PATIENCE

    def on_start(self) -> None:
        self.load: Load = self.environment.load
        number = next(numbers)
        self.visitor, self.chance = f"{number} {secrets.token_hex(4)}", random.Random(number)

    def asked(self) -> tuple[str, int]:
        """A prompt and a seed."""
        return self.chance.choice(self.load.prompts), self.chance.randrange(2**31)

    def told(self, name: str, ms: float, failure: str = "") -> None:
        exception = RuntimeError(failure) if failure else None
        self.environment.events.request.fire(
            request_type="user", name=name, response_time=ms, response_length=0,
            exception=exception, context={},
        )  # fmt: skip

    def called(self, function: str, name: str, **request: Any) -> Any:
        """The response to a page's call, to be entered: what is wrong is for the block to say."""
        body = {
            "session_hash": self.visitor, "component_id": self.load.asker.stage,
            "fn_name": function, "data": {"visitor": self.visitor, **request},
        }  # fmt: skip
        path = "/gradio_api/component_server/"
        return self.client.post(path, json=body, name=name, catch_response=True)

    def paint(self, prompt: str, seed: int = 0) -> dict[str, Any]:
        """What a page is answered, as page.js understands it. Only a right picture is one."""
        with self.called("paint", "picture", prompt=prompt, seed=str(seed)) as response:
            if response.status_code != 200:
                response.failure(f"{response.status_code} {response.text or response.error}")
                return {"again": True, "after": int((response.headers or {}).get("retry-after", 0))}
            answer: dict[str, Any] = response.json()
            if answer.get("again"):
                response.request_meta["name"] = "again"
            elif answer.get("note") == STALE:
                response.request_meta["name"] = "stale"
            elif "picture" not in answer:
                response.failure(answer.get("note"))
            elif not self.load.page.is_right(_file(answer["picture"]), prompt, seed):
                response.failure(ANOTHERS)
                del answer["picture"]
        return answer


class Typist(User):
    """Types a sentence, waits for its picture, and types another one.

    The browser has one request under way and the newest other one waiting, asks each second where
    it stands, and asks again after growing pauses where it is told to, as page.js, place.js and
    server.js do."""

    abstract = True

    def on_start(self) -> None:
        super().on_start()
        self.keys: deque[tuple[int, float]] = deque()  # of which there is no picture yet
        self.number, self.last = 0, 0  # of keys; the last one of the burst
        self.waiting: tuple[int, str] | None = None
        self.asking = 0  # the number under way
        self.stirred, self.settled = Event(), Event()
        self.browser = gevent.spawn(self.browse)
        gevent.sleep(self.chance.random())

    def on_stop(self) -> None:
        self.browser.kill()

    @task
    def sentence(self) -> None:
        if not self.load.begins():
            raise StopUser
        text = self.chance.choice(self.load.prompts)
        self.last = self.number + len(text)
        self.settled.clear()
        for end in range(1, len(text) + 1):
            gevent.sleep(KEY)
            self.number += 1
            self.keys.append((self.number, time.perf_counter()))
            self.waiting = self.number, text[:end]
            self.stirred.set()
        self.settled.wait(PATIENCE)
        gevent.sleep(self.chance.uniform(*PAUSE))

    def browse(self) -> None:
        failures = 0
        while self.stirred.wait():
            self.stirred.clear()
            while asked := self.waiting:
                self.waiting = None
                self.asking = asked[0]
                gevent.spawn(self.watch, asked[0])
                answer = self.paint(asked[1])
                self.asking = 0
                if answer.get("again"):
                    gevent.sleep(pause(self.chance, failures, answer.get("after", 0)))
                    failures += 1
                    self.waiting = self.waiting or asked
                else:
                    failures = 0
                    self.show(asked[0], "picture" in answer)

    def watch(self, number: int) -> None:
        gevent.sleep(PLACE)
        while self.asking == number:
            with self.called("place", "place"):
                pass
            gevent.sleep(PLACE)

    def show(self, number: int, came: bool) -> None:
        """The picture of a key, which is that of all before, or the news that there is none."""
        now = time.perf_counter()
        while came and self.keys and self.keys[0][0] <= number:
            key, pressed = self.keys.popleft()
            ms = 1000 * (now - pressed)
            self.told("key", ms)
            if key != number:
                self.told("replaced", ms)
            if key == number == self.last:
                self.told("last key", ms)
        if number == self.last:
            self.settled.set()


class Visitor(User):
    """Asks as a page does, again as soon as the picture is there."""

    abstract = True

    @task
    def ask(self) -> None:
        if not self.load.begins():
            raise StopUser
        prompt, seed, failures = *self.asked(), 0
        end = time.monotonic() + PATIENCE
        while (answer := self.paint(prompt, seed)).get("again") and time.monotonic() < end:
            gevent.sleep(pause(self.chance, failures, answer.get("after", 0)))
            failures += 1


class Program(User):
    """Asks by Gradio's queue, as gradio_client does, again as soon as the file is there."""

    abstract = True

    @task
    def ask(self) -> None:
        if not self.load.begins():
            raise StopUser
        prompt, seed = self.asked()
        start = time.perf_counter()
        failure = self.failure(prompt, seed)
        self.told("picture", 1000 * (time.perf_counter() - start), failure)

    def failure(self, prompt: str, seed: int) -> str:
        """Why there is no picture, or nothing."""
        session = secrets.token_hex(8)
        body = {
            "fn_index": self.load.asker.generates, "session_hash": session,
            "data": [prompt, seed, *self.load.asker.usual[2:]],
        }  # fmt: skip
        joined = self.client.post("/gradio_api/queue/join", json=body, name="join")
        if joined.status_code != 200:
            return f"{joined.status_code} {joined.text}"
        path = f"/gradio_api/queue/data?session_hash={session}"
        lines = (self.client.get(path, name="data").text or "").splitlines()
        said = [json.loads(line.removeprefix("data: ")) for line in lines if line]
        told = next((one for one in said if one["msg"] == "process_completed"), {})
        if not told.get("success"):
            return f"not completed: {told.get('output')}"
        path = f"/gradio_api/file={told['output']['data'][0]['path']}"
        file = self.client.get(path, name="file").content
        return "" if file and self.load.page.is_right(file, prompt, seed) else ANOTHERS


def pause(chance: random.Random, failures: int, after: float) -> float:
    """Seconds until a page asks again, as server.js has it."""
    own = min(20.0, 2.0**failures) * (0.75 + chance.random() / 2)
    return max(own, min(60.0, after) * (1 + chance.random() / 4))


def _file(url: str) -> bytes:
    return b64decode(url.partition(",")[2])
