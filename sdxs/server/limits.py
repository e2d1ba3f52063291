"""How much of it one address may ask for, and all together: requests a minute, and at once.

Counted by the `limits` library, in memory: a restart forgets. Who came by a proxy is known where
uvicorn trusts it, see `front.py`. Knows nothing of what is asked for.
"""

import ipaddress
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from sdxs.server.guard import kind_of

log = logging.getLogger(__name__)

FREE = ("asset", "health")  # kinds that are not counted
AT_ONCE = 256  # requests of an address under way, streams among them


@dataclass(frozen=True)
class Limits:
    """Requests a minute: of an address, which are also the largest burst, and of all."""

    visitor: int = 3000  # typing is 20 a second, and many may share an address
    all: int = 30_000
    at_once: int = AT_ONCE


class Limiter:
    """ASGI middleware: what is above a limit is answered with 429, and when to come again. `seen`
    hears of each."""

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        also: Sequence[str] = (),
        seen: Callable[[str], None] = lambda limit: None,
    ) -> None:
        self.app, self._also, self._seen = app, also, seen
        self._at_once = limits.at_once
        self._visitor = RateLimitItemPerMinute(limits.visitor, namespace="visitor")
        self._all = RateLimitItemPerMinute(limits.all, namespace="all")
        self._window = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._under_way: Counter[str] = Counter()
        self._told = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or kind_of(scope, self._also)[0] in FREE:
            return await self.app(scope, receive, send)
        who = address(scope)
        self._doubt(scope, who)
        if self._under_way[who] >= self._at_once:
            return await self._refuse("at once", 1)(scope, receive, send)
        for limit, item, key in ("all", self._all, ""), ("visitor", self._visitor, who):
            if not self._window.test(item, key):
                after = self._window.get_window_stats(item, key).reset_time - time.time()
                return await self._refuse(limit, after)(scope, receive, send)
        self._window.hit(self._visitor, who)
        self._window.hit(self._all, "")
        self._under_way[who] += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._under_way[who] -= 1
            if not self._under_way[who]:
                del self._under_way[who]

    def _refuse(self, limit: str, after: float) -> JSONResponse:
        self._seen(limit)
        whose = "Many people ask" if limit == "all" else "You ask"
        note = f"{whose} for more than there is room for just now: ask again a little later."
        seconds = min(60, max(1, math.ceil(after)))
        return JSONResponse({"detail": note}, 429, {"Retry-After": str(seconds)})

    def _doubt(self, scope: Scope, who: str) -> None:
        """A proxy that is not trusted makes one visitor of all: said once."""
        named = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
        if named and not self._told and (scope.get("client") or ("",))[0].encode() not in named:
            self._told = True
            log.warning(
                "requests come by a proxy at %s, whose visitors count as one until it is named: "
                "--proxies %s", who, who,
            )  # fmt: skip


def address(scope: Scope) -> str:
    """Whose request it is: an IPv4 address, or the network that one visitor has in IPv6."""
    host = (scope.get("client") or ("", 0))[0]
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return str(host)[:64]
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
