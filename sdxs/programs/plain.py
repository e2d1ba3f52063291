"""The plain form: a request as JSON or as a query, the answer a picture's bytes.

Knows nothing of other programs' forms.
"""

import hashlib
import secrets
import string
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import Body, FastAPI, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from sdxs.picture import MIME
from sdxs.programs.form import data_url, form, model_name, note, pictures, problems, refusal, seeds
from sdxs.programs.schemas import model, rows, schema
from sdxs.service.kinds import Picture
from sdxs.service.labels import LIVE
from sdxs.service.making import Maker

Format = Literal["jpeg", "png", "webp"]
DAY = 24 * 3600  # seconds
READABLE = "".join(set(string.printable[:95]) - {"%"})  # of a header
FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind: {} for kind in MIME.values()}, "description": "the picture's file"}
}


class Problem(BaseModel):
    """Why there is no picture, in a line."""

    error: str


class Asked(BaseModel):
    """What a request may say beside the options."""

    model_config = ConfigDict(extra="forbid")
    format: Format | None = None


class Queried(Asked):
    """The same of an address."""


PROBLEMS = problems(Problem)


def plain(maker: Maker) -> FastAPI:
    """The app, to be mounted at /api."""
    app = form("pictures", lambda told, _: {"error": told.note})
    about, options = maker.about, rows(maker.rows)
    queried = [row for row in options if not isinstance(row.widget, Picture)]
    asked_by_body: Any = model(Asked, options, maker)
    asked_by_query: Any = model(Queried, queried, maker)
    run = secrets.token_hex(4)  # another program may have other weights by the same name

    async def painted(request: Request, asked: Mapping[str, Any], format: str) -> Response:
        """A picture and what is to be said of it. asked: with a seed."""
        (made,) = await pictures(request, maker, asked, [asked["seed"]], format)
        headers = {
            "X-Seed": str(asked["seed"]),
            "Content-Disposition": f'inline; filename="{made.name}"',
        }
        if said := note(made, asked):
            headers["X-Warning"] = quote(said, safe=READABLE)
        return Response(made.file, media_type=MIME[format], headers=headers)

    @app.post("/picture", responses=FILE | PROBLEMS, response_class=Response)
    async def post_picture(
        request: Request,
        asked: Annotated[asked_by_body, Body()],
        accept: Annotated[str, Header()] = "*/*",
    ) -> Response:
        """Make a picture; `format`, or else Accept, says of which kind. X-Seed tells its seed, and
        X-Warning, percent-encoded, what is to be said of it."""
        said = _said(asked)
        format = said.pop("format", None) or accepted(accept)
        return await painted(request, {**said, "seed": seeds(said.get("seed"))[0]}, format)

    @app.get("/picture", responses=FILE | PROBLEMS, response_class=Response)
    async def get_picture(
        request: Request,
        asked: Annotated[asked_by_query, Query()],
        accept: Annotated[str, Header()] = "*/*",
        if_none_match: Annotated[str, Header()] = "",
    ) -> Response:
        """The picture of a request that has an address: with a seed it may be kept."""
        said = _said(asked)
        format = said.pop("format", None) or accepted(accept)
        kept = said.get("seed") not in (None, "")
        said["seed"] = seeds(said.get("seed"))[0]
        try:
            given = maker.checked(said)
        except Exception as error:
            raise refusal(error) from None
        same = repr((run, sorted(given.items()), format)).encode()
        tag = f'W/"{hashlib.sha256(same).hexdigest()[:32]}"'
        keep = {"ETag": tag, "Cache-Control": f"public, max-age={DAY}", "Vary": "Accept"}
        if kept and tag in map(str.strip, if_none_match.split(",")):
            return Response(status_code=304, headers=keep)
        answer = await painted(request, said, format)
        answer.headers.update(keep if kept else {"Cache-Control": "no-store"})
        return answer

    @app.get("/options")
    async def get_options() -> dict[str, Any]:
        """What may be asked for here: the model, and a JSON Schema for each option."""
        return {
            "model": model_name(about),
            "size": "{}x{}".format(*about.size),
            "safety": about.safety,
            "formats": list(MIME),
            "options": {row.field: schema(row, maker) for row in options},
        }

    return app


def _said(asked: BaseModel) -> dict[str, Any]:
    """A request as `Maker` takes it."""
    said = asked.model_dump(exclude_none=True)
    if "drawing" in said:
        said["drawing"] = data_url(said["drawing"])
    return said


def accepted(accept: str) -> str:
    """The format that an Accept header likes best, a JPEG where it likes all the same."""
    liked: dict[str, float] = {}
    for part in accept.lower().split(","):
        kind, _, rest = part.partition(";")
        _, given, quality = rest.partition("q=")
        try:
            liked[kind.strip()] = float(quality) if given else 1.0
        except ValueError:
            continue
    formats = [LIVE, *(name for name in MIME if name != LIVE)]
    return max(
        formats, key=lambda name: liked.get(MIME[name], liked.get("image/*", liked.get("*/*", 0.0)))
    )
