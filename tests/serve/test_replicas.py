"""Who waits for replicas: the newest of a visitor, a second try, not too many. The handle is a
stand-in; the real one is asked in `test_cluster.py`."""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any

import pytest
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError

from sdxs.serve import replicas
from sdxs.serve.replicas import Replicas
from sdxs.service.turns import Crowded, Stale, Unable


class Response:
    """What a handle gives: awaited, and cancelled."""

    def __init__(self, outcome: "asyncio.Future[Any]") -> None:
        self.outcome, self.cancelled = outcome, False

    def __await__(self) -> Generator[Any, None, Any]:
        return asyncio.shield(self.outcome).__await__()

    def cancel(self) -> None:
        self.cancelled = True


class Handle:
    """Replicas that answer when they are told to."""

    def __init__(self) -> None:
        self.paint = self
        self.asked: list[Any] = []
        self.patience: list[bool] = []
        self.responses: list[Response] = []

    def remote(self, order: Any, patient: bool) -> Response:
        self.asked.append(order)
        self.patience.append(patient)
        self.responses.append(Response(asyncio.get_running_loop().create_future()))
        return self.responses[-1]

    def answer(self, number: int, outcome: Any) -> None:
        if isinstance(outcome, BaseException):
            self.responses[number].outcome.set_exception(outcome)
        else:
            self.responses[number].outcome.set_result(outcome)


def visits(then: Callable[[Replicas, Handle], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        handle = Handle()
        found = await then(Replicas(handle), handle)  # type: ignore[arg-type]
        return found, handle

    return asyncio.run(run())


async def took(*takes: Awaitable[Any]) -> list[Any]:
    """Their tasks, once each has asked."""
    tasks = [asyncio.ensure_future(take) for take in takes]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


def test_many_are_under_way_at_once_and_each_has_its_own():
    async def then(own: Replicas, handle: Handle) -> Any:
        tasks = await took(*(own.take(name, name=name) for name in "abc"))
        assert own.waiting() == 3 and own.before("c") == 2 and own.before("d") is None
        for number in (2, 0, 1):
            handle.answer(number, handle.asked[number].upper())
        return await asyncio.gather(*tasks), own.waiting()

    assert visits(then)[0] == (["A", "B", "C"], 0)


def test_the_newest_takes_the_place_of_what_its_visitor_waits_for():
    async def then(own: Replicas, handle: Handle) -> Any:
        older, other = await took(own.take("older", name="v"), own.take("other", name="w"))
        (newer,) = await took(own.take("newer", name="v"))
        handle.answer(1, "other")
        handle.answer(2, "newer")
        return await asyncio.gather(older, other, newer, return_exceptions=True)

    (stale, *others), handle = visits(then)
    assert isinstance(stale, Stale) and others == ["other", "newer"]
    assert [response.cancelled for response in handle.responses] == [True, False, False]


def test_programs_without_a_name_all_wait():
    async def then(own: Replicas, handle: Handle) -> Any:
        tasks = await took(own.take("a"), own.take("b"))
        handle.answer(0, 1)
        handle.answer(1, 2)
        return await asyncio.gather(*tasks)

    assert visits(then)[0] == [1, 2]


def test_who_leaves_is_not_painted():
    async def then(own: Replicas, handle: Handle) -> Any:
        (task,) = await took(own.take("a"))
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled(), own.waiting()

    found, handle = visits(then)
    assert found == (True, 0) and handle.responses[0].cancelled


@pytest.mark.parametrize("deaths", [1, 2])
def test_a_replica_that_dies_is_tried_once_more(deaths):
    async def then(own: Replicas, handle: Handle) -> Any:
        (task,) = await took(own.take("a"))
        for number in range(deaths):
            handle.answer(number, RayActorError())
            await took()
        if deaths == 1:
            handle.answer(1, "painted")
        return (await asyncio.gather(task, return_exceptions=True))[0]

    found, handle = visits(then)
    assert handle.asked == ["a", "a"]
    assert found == "painted" if deaths == 1 else isinstance(found, Unable)


def test_an_outcome_that_is_an_error_is_raised():
    async def then(own: Replicas, handle: Handle) -> Any:
        (task,) = await took(own.take("a"))
        handle.answer(0, ValueError("a"))
        with pytest.raises(ValueError, match="a"):
            await task

    visits(then)


def test_there_is_an_end_to_who_may_wait(monkeypatch):
    monkeypatch.setattr(replicas, "MOST_WAITING", 2)
    monkeypatch.setattr(replicas, "MOST_BYTES", 100)

    async def then(own: Replicas, handle: Handle) -> Any:
        tasks = await took(own.take("a", size=50), own.take("b"))
        with pytest.raises(Crowded) as crowded:
            await own.take("c")
        assert crowded.value.retry_after >= 1
        patient = await took(own.take("d", patient=True))  # they take no room from the others
        with pytest.raises(Crowded):
            await own.take("e", patient=True, size=60)
        for number in range(3):
            handle.answer(number, number)
        await asyncio.gather(*tasks, *patient)
        (task,) = await took(own.take("f"))
        handle.answer(3, BackPressureError(num_queued_requests=1, max_queued_requests=1))
        with pytest.raises(Crowded):
            await task

    visits(then)


def test_idle_time_is_not_what_a_picture_takes(monkeypatch):
    async def then(own: Replicas, handle: Handle) -> Any:
        own._ended[0] -= 3600
        monkeypatch.setattr(replicas, "MOST_WAITING", 1)
        tasks = await took(own.take("a"))
        with pytest.raises(Crowded) as crowded:
            await own.take("b")
        handle.answer(0, None)
        await asyncio.gather(*tasks)
        return crowded.value.retry_after

    assert visits(then)[0] == 1


def test_who_is_patient_comes_after_the_others():
    async def then(own: Replicas, handle: Handle) -> Any:
        tasks = await took(own.take("a", name="a", patient=True), own.take("b", name="b"))
        assert (own.before("a"), own.before("b")) == (1, 0)
        handle.answer(0, None)
        handle.answer(1, None)
        await asyncio.gather(*tasks)

    assert visits(then)[1].patience == [True, False]


def test_at_the_end_everybody_is_told():
    async def then(own: Replicas, handle: Handle) -> Any:
        (task,) = await took(own.take("a"))
        await asyncio.to_thread(own.end)
        with pytest.raises(Unable):
            await task
        with pytest.raises(Unable):
            await own.take("b")

    visits(then)
