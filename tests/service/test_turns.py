"""Turns: first come, first served, the like together, whoever leaves in between."""

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from sdxs.errors import InputError
from sdxs.service import turns
from sdxs.service.turns import Crowded, Stale, Turns

FILM = None, None, True  # kind, name, patient


class Work:
    """Work that notes what was done in each turn, and how many were at it at once. The first turn
    lasts until `finish`. An item "bad" fails alone, "worse" with all of its turn."""

    def __init__(self) -> None:
        self.done: list[list[Any]] = []
        self.running = self.most = 0
        self.begun, self.finish = threading.Event(), threading.Event()

    def __call__(self, items: list[Any]) -> Sequence[Any]:
        self.running += 1
        self.most = max(self.most, self.running)
        self.begun.set()
        assert self.finish.wait(30)
        self.running -= 1
        self.done.append(items)
        if "worse" in items:
            raise RuntimeError("worse")
        return [ValueError(item) if item == "bad" else f"{item}!" for item in items]


def busy(work: Work, then: Callable[[Turns[Any, Any]], Awaitable[Any]], together: int = 1) -> Any:
    """What `then` gives, which begins while the work of "first" goes on."""

    async def visits() -> Any:
        own = Turns(work, together)
        first = asyncio.ensure_future(own.take("first"))
        await asyncio.to_thread(work.begun.wait, 30)
        found = await then(own)
        assert await first == "first!"
        return found

    return asyncio.run(visits())


async def queue(own: Turns[Any, Any], *visits: Any) -> list[asyncio.Future[Any]]:
    """Those who wait, (item, kind) or an item alone."""
    taken = [visit if isinstance(visit, tuple) else (visit,) for visit in visits]
    waiting = [asyncio.ensure_future(own.take(*visit)) for visit in taken]
    await asyncio.sleep(0)  # each takes its place
    return waiting


def crowd(*visits: Any, together: int = 1) -> tuple[list[Any], Work]:
    """What becomes of those who come while the first is at work, and the work."""
    work = Work()

    async def come(own: Turns[Any, Any]) -> list[Any]:
        waiting = await queue(own, *visits)
        work.finish.set()
        return await asyncio.gather(*waiting, return_exceptions=True)

    return busy(work, come, together), work


def test_one_turn_at_a_time_first_come_first_served():
    found, work = crowd(*range(8))
    assert found == [f"{n}!" for n in range(8)]
    assert work.done == [["first"], *([n] for n in range(8))]
    assert work.most == 1


def test_those_who_wait_go_together_at_most_so_many():
    found, work = crowd(*range(8), together=3)
    assert found == [f"{n}!" for n in range(8)]
    assert work.done == [["first"], [0, 1, 2], [3, 4, 5], [6, 7]]


def test_kinds_do_not_mix_and_the_first_who_waits_goes_first():
    visits = [("a", 1), ("b", 2), ("c", 1), ("d", 3), ("e", 2), ("f", 1)]
    _, work = crowd(*visits, together=8)
    assert work.done == [["first"], ["a", "c", "f"], ["b", "e"], ["d"]]


def test_the_patient_go_when_nobody_else_waits():
    visits = [("film", *FILM), ("a", 1), ("film 2", *FILM), ("b", 2), ("c", 1)]
    _, work = crowd(*visits, together=8)
    assert work.done == [["first"], ["a", "c"], ["b"], ["film", "film 2"]]
    _, work = crowd(
        ("film", 1, None, True), ("a", 1), together=8
    )  # it delays nobody's batch either
    assert work.done == [["first"], ["a"], ["film"]]


def test_nobody_waits_for_company():
    work = Work()
    work.finish.set()
    assert asyncio.run(Turns(work, 8).take("alone")) == "alone!"
    assert work.done == [["alone"]]


def test_one_fails_alone_unless_the_work_does():
    found, _ = crowd("a", "bad", "b", together=8)
    assert found[::2] == ["a!", "b!"] and isinstance(found[1], ValueError)
    found, work = crowd("a", "worse", "b", "c", together=3)
    assert [str(one) for one in found] == ["worse"] * 3 + ["c!"]
    assert work.done == [["first"], ["a", "worse", "b"], ["c"]]


@pytest.mark.parametrize("error", [StopIteration(), RuntimeError()])
def test_whatever_the_work_raises_leaves_nobody_waiting(error):
    def work(items: list[Any]) -> list[Any]:
        raise error

    with pytest.raises(RuntimeError):
        asyncio.run(asyncio.wait_for(Turns(work).take("a"), 30))


def test_a_visitor_who_leaves_keeps_the_turn_until_the_work_is_done():
    """And does not stop the others of that turn."""
    work = Work()

    async def visits() -> list[Any]:
        own = Turns(work, 8)
        leaving, other = await queue(own, "leaving", "other")
        await asyncio.to_thread(work.begun.wait, 30)
        leaving.cancel()
        staying, *_ = await queue(own, "staying")
        await asyncio.gather(leaving, return_exceptions=True)
        assert work.running == 1 and not work.done
        work.finish.set()
        return await asyncio.gather(other, staying)

    assert asyncio.run(visits()) == ["other!", "staying!"]
    assert work.done == [["leaving", "other"], ["staying"]] and work.most == 1


def test_who_leaves_before_their_turn_costs_nothing(monkeypatch):
    monkeypatch.setattr(turns, "MOST_WAITING", 2)
    work = Work()

    async def come(own: Turns[Any, Any]) -> None:
        for _ in range(9):  # more than may wait, one after the other
            (leaving,) = await queue(own, "leaving")
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
        last = await queue(own, "last")
        with pytest.raises(Crowded):
            await own.take("too many")
        work.finish.set()
        await asyncio.gather(*last)

    busy(work, come, together=8)
    assert work.done == [["first"], ["last"]]


def test_who_leaves_a_batch_before_it_begins_is_not_in_it():
    work = Work()

    async def come(own: Turns[Any, Any]) -> list[Any]:
        leaving, *others = await queue(own, "leaving", "a", "b")
        leaving.cancel()
        work.finish.set()
        return await asyncio.gather(*others)

    assert busy(work, come, together=2) == ["a!", "b!"]
    assert work.done == [["first"], ["a", "b"]]


def test_the_patient_go_when_nobody_else_waits_and_together():
    visits = [("a", 1, "p", True), ("b", 2), ("c", 1, "q", True), ("d", 1), ("e", 2, "r", True)]
    found, work = crowd(*visits, together=8)
    assert found == ["a!", "b!", "c!", "d!", "e!"]
    assert work.done == [["first"], ["b"], ["d"], ["a", "c"], ["e"]]


def test_some_are_dropped_by_name_until_their_turn():
    work = Work()

    async def come(own: Turns[Any, Any]) -> list[Any]:
        waiting = await queue(own, ("a", 1, "p"), ("b", 1, "q", True), ("c", 1, "r", True), "d")
        own.drop("p", "r", "nobody")
        work.finish.set()
        return await asyncio.gather(*waiting, return_exceptions=True)

    found = busy(work, come, together=8)
    assert [str(one) for one in found] == [turns.STALE, "b!", turns.STALE, "d!"]
    assert isinstance(found[0], Stale)
    assert work.done == [["first"], ["d"], ["b"]]


def test_a_patient_one_whose_turn_has_begun_is_finished():
    work = Work()

    async def visits() -> Any:
        own = Turns(work)
        patient = asyncio.ensure_future(own.take("patient", None, "p", True))
        await asyncio.to_thread(work.begun.wait, 30)
        own.drop("p")
        work.finish.set()
        return await patient

    assert asyncio.run(visits()) == "patient!"


def test_the_patient_take_no_room_from_the_others(monkeypatch):
    monkeypatch.setattr(turns, "MOST_WAITING", 3)
    found, _ = crowd(*[(n, 0, None, True) for n in range(3)], "a", "b", "c")
    assert [isinstance(one, Crowded) for one in found] == [False, False, True] * 2


def test_a_turn_of_nobody():
    with pytest.raises(InputError, match="together must be 1 or more, not 0"):
        Turns(Work(), 0)


def test_the_newest_takes_the_place_of_what_the_same_visitor_has_waiting(monkeypatch):
    """However full it is; others keep theirs, and what has no name replaces nothing."""
    monkeypatch.setattr(turns, "MOST_WAITING", 4)
    found, work = crowd(("a", 1, "me"), ("b", 1, "you"), ("c", 1), ("d", 2, "me"), ("e", 1, "me"))
    assert isinstance(found[0], Stale) and isinstance(found[3], Stale)
    assert found[1:3] == ["b!", "c!"] and found[4] == "e!"
    assert work.done == [["first"], ["e"], ["b"], ["c"]]


def test_one_is_worked_on_and_one_waits():
    work = Work()

    async def visits() -> list[Any]:
        own = Turns(work)
        taken = []
        for number in range(5):
            taken += await queue(own, (number, None, "me"))
            await asyncio.to_thread(work.begun.wait, 30)
        work.finish.set()
        return await asyncio.gather(*taken, return_exceptions=True)

    found = asyncio.run(visits())
    assert found[::4] == ["0!", "4!"] and work.done == [[0], [4]]


def test_how_many_go_before():
    work = Work()

    async def come(own: Turns[Any, Any]) -> list[Any]:
        visits = [("a", 1, "film", True), ("b", 1, "p"), ("c", 2, "q"), ("d", 1, "p2", True)]
        waiting = await queue(own, *visits)
        asked = ("film",), ("p",), ("q", "p2"), ("p2",), ("nobody",), ()
        found = [own.before(*names) for names in asked]
        work.finish.set()
        await asyncio.gather(*waiting)
        return found

    assert busy(work, come) == [3, 1, 2, 4, None, None]


def test_what_waits_has_bounds_in_bytes(monkeypatch):
    monkeypatch.setattr(turns, "MOST_BYTES", 10)
    visits = [("a", 0, None, False, 6), ("b", 0, None, True, 4), ("c", 0, None, False, 1), "d"]
    found, _ = crowd(*visits)
    assert [isinstance(one, Crowded) for one in found] == [False, False, True, False]


def test_when_to_come_again_grows_with_the_queue(monkeypatch):
    monkeypatch.setattr(turns, "MOST_WAITING", 8)
    work = Work()

    async def come(own: Turns[Any, Any]) -> list[int]:
        found = []
        for seconds in (0.0, 2.0, 1000.0):
            own._lately.append(seconds)
            waiting = await queue(own, *range(9))
            found.append(waiting[-1].exception().retry_after)
            for one in waiting:
                one.cancel()
        work.finish.set()
        return found

    assert busy(work, come) == [1, 6, 60]  # of 8 items, those of 0, 2, 3, 4 turns


def test_a_turn_is_in_the_context_of_its_first_visitor():
    who = contextvars.ContextVar("who", default="nobody")

    async def visits() -> list[str]:
        turn: Turns[Any, Any] = Turns(lambda items: [who.get()] * len(items), 2)
        return await asyncio.gather(*(visit(turn, name) for name in "abc"))

    async def visit(turn: Turns[Any, Any], name: str) -> str:
        who.set(name)
        return await turn.take(name)

    assert asyncio.run(visits()) == ["a", "a", "c"]
