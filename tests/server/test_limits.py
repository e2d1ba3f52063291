"""Who asks for too much, and who that is."""

import asyncio
import logging
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from sdxs.server.limits import Limiter, Limits, address


async def inside(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("made")(scope, receive, send)


async def asked(app: Any, who: str, path: str = "/config", **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(app, client=(who, 5000))
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        return await client.get(path, headers=headers)


def statuses(app: Any, *visits: tuple[str, str]) -> list[int]:
    async def all() -> list[int]:
        return [(await asked(app, who, path)).status_code for who, path in visits]

    return asyncio.run(all())


def test_an_address_has_its_own_share() -> None:
    seen: list[str] = []
    app = Limiter(inside, Limits(visitor=3, all=5), seen=seen.append)
    visits = [("1.1.1.1", "/config")] * 4 + [("2.2.2.2", "/config")] * 3
    assert statuses(app, *visits) == [200, 200, 200, 429, 200, 200, 429]
    assert seen == ["visitor", "all"]
    free = [("1.1.1.1", "/assets/index.js"), ("2.2.2.2", "/healthz")]
    assert statuses(app, *free) == [200, 200]


def test_a_refusal_says_when_to_come_again() -> None:
    app = Limiter(inside, Limits(visitor=1))
    statuses(app, ("1.1.1.1", "/config"))
    answer = asyncio.run(asked(app, "1.1.1.1"))
    assert answer.status_code == 429 and 1 <= int(answer.headers["Retry-After"]) <= 60
    assert "ask again a little later" in answer.json()["detail"]


def test_typing_fast_for_a_minute_is_no_flood() -> None:
    """20 requests a second, all at once even."""
    app = Limiter(inside, Limits())
    assert set(statuses(app, *[("1.1.1.1", "/gradio_api/component_server/")] * 1200)) == {200}


def test_what_is_under_way_at_once_has_an_end() -> None:
    async def held() -> list[int]:
        leave = asyncio.Event()

        async def stays(scope: Scope, receive: Receive, send: Send) -> None:
            await leave.wait()
            await inside(scope, receive, send)

        app = Limiter(stays, Limits(at_once=2))
        visits = [asyncio.create_task(asked(app, "1.1.1.1")) for _ in range(3)]
        while not any(visit.done() for visit in visits):
            await asyncio.sleep(0)
        leave.set()
        return [
            (await visit).status_code
            for visit in [*visits, asyncio.create_task(asked(app, "1.1.1.1"))]
        ]

    assert sorted(asyncio.run(held())) == [200, 200, 200, 429]


@pytest.mark.parametrize(
    ("host", "who"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("a proxy's nonsense" + "x" * 100, ("a proxy's nonsense" + "x" * 100)[:64]),
    ],
)
def test_who_it_is(host: str, who: str) -> None:
    assert address({"client": (host, 1)}) == who
    assert address({"client": None}) == ""


def test_a_proxy_that_nobody_named_is_told_of_once(caplog: Any) -> None:
    app = Limiter(inside, Limits())
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            asyncio.run(asked(app, "10.0.0.5", **{"X-Forwarded-For": "203.0.113.9"}))
    assert [record.getMessage().partition(", ")[0] for record in caplog.records] == [
        "requests come by a proxy at 10.0.0.5"
    ]
    assert "--proxies 10.0.0.5" in caplog.text
    caplog.clear()
    named = Limiter(inside, Limits())  # uvicorn has believed it
    asyncio.run(asked(named, "203.0.113.9", **{"X-Forwarded-For": "203.0.113.9, 10.0.0.5"}))
    assert not caplog.records
