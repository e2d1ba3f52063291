"""Turns: one at a time, first come, first served, whoever leaves in between."""

import asyncio
import threading
import time

import pytest

from sdxs.page import turns
from sdxs.page.turns import Crowded, Turns


class Work:
    """Work that notes who did it, and how many were at it at once. Others wait until `finish`."""

    def __init__(self) -> None:
        self.done: list[object] = []
        self.running = self.most = 0
        self.begun, self.finish = threading.Event(), threading.Event()

    def __call__(self, name: object) -> object:
        self.running += 1
        self.most = max(self.most, self.running)
        self.begun.set()
        self.finish.wait(30)
        time.sleep(0.02)
        self.running -= 1
        self.done.append(name)
        return name


def test_one_piece_of_work_at_a_time_first_come_first_served():
    work = Work()
    work.finish.set()

    async def crowd() -> list[object]:
        own = Turns()
        return await asyncio.gather(*(own.take(lambda n=n: work(n)) for n in range(8)))

    assert asyncio.run(crowd()) == work.done == list(range(8))
    assert work.most == 1


def test_a_visitor_who_leaves_keeps_the_turn_until_the_work_is_done():
    work = Work()

    async def visits() -> object:
        own = Turns()
        leaving = asyncio.ensure_future(own.take(lambda: work("leaving")))
        await asyncio.to_thread(work.begun.wait, 30)
        leaving.cancel()
        staying = asyncio.ensure_future(own.take(lambda: work("staying")))
        await asyncio.sleep(0.1)
        work.finish.set()
        return await staying

    assert asyncio.run(visits()) == "staying"
    assert work.most == 1


def test_who_leaves_before_their_turn_costs_nothing(monkeypatch):
    monkeypatch.setattr(turns, "MOST_WAITING", 2)
    work = Work()

    async def visits() -> None:
        own = Turns()
        first = asyncio.ensure_future(own.take(lambda: work("first")))
        await asyncio.to_thread(work.begun.wait, 30)
        for _ in range(9):  # more than may wait, one after the other
            leaving = asyncio.ensure_future(own.take(lambda: work("leaving")))
            await asyncio.sleep(0)
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
        last = asyncio.ensure_future(own.take(lambda: work("last")))
        await asyncio.sleep(0)
        with pytest.raises(Crowded):
            await own.take(lambda: work("too many"))
        work.finish.set()
        await asyncio.gather(first, last)

    asyncio.run(visits())
    assert work.done == ["first", "last"]
