"""Whether the program lives, and whether it takes work: for supervisors and load balancers.

Knows nothing of what the work is.
"""

from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route


@dataclass
class State:
    """alive: the program can work, others should start it anew. ready: it takes work now, which it
    does not before its model is warm, and not any more when it is asked to end."""

    alive: Callable[[], bool] = lambda: True
    ready: Callable[[], bool] = lambda: True


def routes(state: State) -> list[Route]:
    """`/healthz` and `/readyz`: 200 for yes, 503 for no."""

    async def healthz(request: Request) -> PlainTextResponse:
        return _answer("alive", state.alive())

    async def readyz(request: Request) -> PlainTextResponse:
        return _answer("ready", state.alive() and state.ready())

    return [Route("/healthz", healthz), Route("/readyz", readyz)]


def _answer(word: str, good: bool) -> PlainTextResponse:
    headers = {"Cache-Control": "no-store"}
    return PlainTextResponse(word if good else f"not {word}", 200 if good else 503, headers)
