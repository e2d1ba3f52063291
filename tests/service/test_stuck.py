"""Turns that hang: given up, and the next go on; and the end, which everybody is told of."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from sdxs.service import turns
from sdxs.service.turns import Stuck, Turns, Unable
from service.test_turns import FILM, Work, queue


def held_up(work: Any, renew: Callable[[], None] = lambda: None) -> Turns[Any, Any]:
    """Turns of a known kind, the first of which may take a moment only."""

    def renewed() -> None:
        own._patience = 60
        renew()

    own = Turns[Any, Any](work, patience=0.05, renew=renewed)
    own._known.add(None)
    return own


def test_a_turn_that_hangs_is_given_up_and_the_next_goes_on_with_what_is_made_anew():
    hang, threads, renewed = threading.Event(), [], []

    def work(items: list[Any]) -> list[Any]:
        threads.append(threading.get_ident())
        if items == ["hang"]:
            assert hang.wait(30)
        return [f"{item} {len(renewed)}" for item in items]

    async def visits() -> list[Any]:
        own = held_up(work, renew=lambda: renewed.append(threading.get_ident()))
        waiting = await queue(own, "hang", "a", "b")
        found = await asyncio.gather(*waiting, return_exceptions=True)
        hang.set()
        return [*found, own.broken]

    stuck, *others = asyncio.run(visits())
    assert isinstance(stuck, Stuck) and "0.05 s" in str(stuck)
    assert others == ["a 1", "b 1", False]
    assert renewed == [threads[1]] == [threads[2]] != [threads[0]]


def test_the_first_turn_of_a_kind_may_take_long():
    def work(items: list[Any]) -> list[Any]:
        assert not begun.wait(0.2)
        return items

    begun = threading.Event()
    own = held_up(work)
    assert asyncio.run(own.take("a", kind="another")) == "a"


def test_twice_in_a_while_is_broken(monkeypatch):
    hang = threading.Event()

    async def visits(own: Turns[Any, Any]) -> bool:
        own._renew = lambda: None  # the second one may take no longer
        for _ in range(2):
            with pytest.raises(Stuck):
                await own.take("hang")
        return own.broken

    assert asyncio.run(visits(held_up(lambda items: hang.wait(30) and items)))
    monkeypatch.setattr(turns, "LATELY", 0)
    assert not asyncio.run(visits(held_up(lambda items: hang.wait(30) and items)))
    hang.set()


def test_what_cannot_be_made_anew_is_tried_again():
    hang, fails = threading.Event(), [True]

    def renew() -> None:
        if fails.pop():
            fails.append(False)
            raise OSError("no memory")

    async def visits() -> list[Any]:
        own = held_up(lambda items: items if items != ["hang"] else hang.wait(30), renew=renew)
        waiting = await queue(own, "hang", "a", "b")
        found = await asyncio.gather(*waiting, return_exceptions=True)
        hang.set()
        return [*found, own.broken]

    _, lost, after, broken = asyncio.run(visits())
    assert isinstance(lost, Unable) and lost.retry_after and after == "b" and broken


def test_at_the_end_everybody_is_told():
    work = Work()

    async def visits() -> list[Any]:
        own = Turns(work)
        waiting = await queue(own, "first", "a", ("b", *FILM))
        await asyncio.to_thread(work.begun.wait, 30)
        await asyncio.to_thread(own.end)
        waiting += await queue(own, "late")
        found = await asyncio.gather(*waiting, return_exceptions=True)
        work.finish.set()
        return found

    assert [type(one) for one in asyncio.run(visits())] == [Unable] * 4
