"""What all forms have in common: pictures that are made while whoever asks is there, and one line,
worded as the form has it, where there is none.

Knows nothing of any one form.
"""

import asyncio
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from sdxs import arguments
from sdxs.config import VERSION
from sdxs.errors import InputError, one_line, sentence
from sdxs.metadata.marker import named
from sdxs.service.about import About
from sdxs.service.making import Maker
from sdxs.service.painting import Made
from sdxs.service.told import Told, told

MOST = 8  # pictures that a request may ask for
LEFT = 499  # nginx's status for a client that did not wait
BARE = re.compile(r"[A-Za-z0-9+/=]+")  # how base64 begins, without a line's end


class Refused(Exception):
    """There is no picture. field: of the request, where one is to blame."""

    def __init__(self, why: Told, field: str = "") -> None:
        super().__init__(why.note)
        self.told, self.field = why, field


def wrong(message: str, field: str = "", status: int = 400) -> Refused:
    """A caller's mistake, in a line."""
    return Refused(Told(sentence(message), status), field)


def form(title: str, worded: Callable[[Told, str], Any]) -> FastAPI:
    """An app without routes yet. worded: the body of an error, of the field that is to blame."""
    app = FastAPI(title=f"SDXS: {title}", version=VERSION, docs_url=None, redoc_url=None)

    def answer(error: Refused, **headers: str) -> JSONResponse:
        if error.told.after:
            headers["Retry-After"] = str(error.told.after)
        return JSONResponse(worded(error.told, error.field), error.told.status, headers)

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> JSONResponse:
        return answer(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return answer(_invalid(error.errors()[0]))

    @app.exception_handler(HTTPException)
    async def without(request: Request, error: HTTPException) -> JSONResponse:
        asked = f"{request.method} {one_line(request.url.path, 60)}"
        missing = wrong(f"{asked}: {error.detail}", status=error.status_code)
        headers = dict(error.headers or {})
        if "Allow" in headers:  # what the first of the routes there says
            headers["Allow"] = ", ".join(sorted(_methods(app, request)))
        return answer(missing, **headers)

    return app


def _methods(app: FastAPI, request: Request) -> set[str]:
    """Those of all routes at the place that is asked for."""
    there = [
        route for route in app.routes
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
    ]  # fmt: skip
    return {method for route in there for method in route.methods or ()}


def problems(body: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of errors, of whose body this is the model."""
    return {
        "4XX": {"model": body, "description": "a mistake, or no room: 429 with Retry-After"},
        "5XX": {"model": body, "description": "not the caller's mistake"},
    }


def _invalid(error: Mapping[str, Any]) -> Refused:
    """What is wrong with a body or a query, of pydantic's first complaint."""
    place = [one_line(part, 60) for part in error["loc"][1:]]
    name = ".".join(place)
    if error["type"] == "extra_forbidden":
        return unknown(name)
    if error["type"] == "missing" and name:
        return wrong(f"the {name} is missing: say what you would like to see", name)
    if error["type"] == "json_invalid" or not name:
        return wrong(
            "the body must be a JSON object with a prompt, of Content-Type application/json"
        )
    return wrong(f"field {name}: {error['msg'][:1].lower()}{error['msg'][1:]}", name)


def unknown(name: str) -> Refused:
    """A field that there is not."""
    why = arguments.KNOWN_ELSEWHERE.get(name, "leave it out; /api/options has what there is")
    return wrong(f"there is no {one_line(name, 60)} here: {why}", name)


async def pictures(
    request: Request, maker: Maker, asked: Mapping[str, Any], seeds: Sequence[int], format: str
) -> list[Made]:
    """A file for each seed, painted as one batch where there is room. Who leaves is not waited for.
    Raises Refused."""
    each = [asyncio.ensure_future(maker.make({**asked, "seed": seed}, format)) for seed in seeds]
    made, left = asyncio.gather(*each), asyncio.ensure_future(_left(request))
    either: set[asyncio.Future[Any]] = {made, left}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not made.done():
            raise Refused(Told("Nobody waits for this any more.", LEFT))
        return made.result()
    except Exception as error:
        raise refusal(error) from None
    finally:
        for task in (*each, left):
            task.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def refusal(error: Exception) -> Refused:
    """Of any error that making a picture may end in."""
    return error if isinstance(error, Refused) else Refused(told(error))


def seeds(first: Any, count: int = 1) -> list[int]:
    """Those of so many pictures in a row, from the one that is asked for, or one that is chosen.
    Raises Refused."""
    try:
        chosen = None if first in (None, "") else arguments.seed(arguments.typed(first))
    except InputError as error:
        raise refusal(error) from None
    start = secrets.randbelow(2**32) if chosen is None else chosen
    return [start + place for place in range(count)]


def data_url(picture: Any) -> Any:
    """A picture's base64 as a data URL; anything else as it is, for a check to see."""
    bare = "".join(picture.split()) if isinstance(picture, str) else ""
    return f"data:image/png;base64,{bare}" if BARE.fullmatch(bare[:200]) else picture


def note(made: Made, asked: Mapping[str, Any]) -> str:
    """What is to be said of a picture, "" for nothing."""
    return made.warning or (made.hint if asked.get("drawing") else "")


def model_name(about: About) -> str:
    """What programs call the model."""
    return named(about.checkpoint) or "sdxs"
