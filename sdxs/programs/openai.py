"""OpenAI's form: `POST /v1/images/generations` and `GET /v1/models`, for its own client libraries.

What only says how hard to try is taken and left alone; what would change the picture and cannot be
done is refused. Knows nothing of other forms but the plain one's address.
"""

import base64
import json
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import Body, FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from sdxs.programs.form import (
    MOST,
    data_url,
    form,
    model_name,
    note,
    pictures,
    problems,
    refusal,
    seeds,
    wrong,
)  # fmt: skip
from sdxs.programs.schemas import model, rows
from sdxs.service.making import Maker
from sdxs.service.painting import Made
from sdxs.service.told import Told

LONGEST_ADDRESS = 8000  # characters that every server and proxy takes
THEIR_STYLES = ("vivid", "natural")  # of DALL-E's
NO_TOKENS = {
    "total_tokens": 0, "input_tokens": 0, "output_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
}  # fmt: skip


class Fault(BaseModel):
    """What is wrong."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class Problem(BaseModel):
    """Why there is no picture."""

    error: Fault


class Asked(BaseModel):
    """The fields of OpenAI's own."""

    model_config = ConfigDict(extra="forbid")
    model: str | None = None
    n: int | None = Field(1, ge=1, le=MOST)
    size: str | None = Field("auto", description="the model's own, or auto")
    response_format: Literal["b64_json", "url"] | None = "b64_json"
    output_format: Literal["png", "jpeg", "webp"] | None = "png"
    output_compression: int | None = Field(None, description="100, or nothing")
    background: Literal["auto", "opaque"] | None = "auto"
    stream: bool | None = False
    quality: str | None = Field(None, description="taken, and left alone, as the next ones are")
    moderation: str | None = None
    partial_images: int | None = None
    user: str | None = None
    safety_identifier: str | None = None


class One(BaseModel):
    """A picture, or where it is. seed, warning: beyond OpenAI's."""

    b64_json: str | None = None
    url: str | None = None
    seed: int
    warning: str | None = None


class Answer(BaseModel):
    """Pictures."""

    created: int
    data: list[One]
    background: Literal["opaque"] = "opaque"
    output_format: Literal["png", "jpeg", "webp"]
    size: str


class Model(BaseModel):
    """A model."""

    id: str
    created: int = 0
    object: Literal["model"] = "model"
    owned_by: str = "sdxs"


class Models(BaseModel):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[Model]


PROBLEMS = problems(Problem)
KINDS = {404: "not_found_error", 429: "rate_limit_error"}


def _worded(told: Told, field: str) -> dict[str, Any]:
    kind = KINDS.get(told.status, "invalid_request_error" if told.status < 500 else "server_error")
    code = "model_not_found" if (field, told.status) == ("model", 404) else None
    fault = {"message": told.note, "type": kind, "param": field or None, "code": code}
    return {"error": fault}


def openai(maker: Maker, root: Callable[[Request], str]) -> FastAPI:
    """The app, to be mounted at /v1. root: the address at which a request found the page."""
    app = form("OpenAI's images", _worded)
    options = rows(maker.rows)
    asked_for: Any = model(Asked, options, maker)
    here, size = model_name(maker.about), "{}x{}".format(*maker.about.size)

    def own(said: Mapping[str, Any]) -> dict[str, Any]:
        """What `Maker` is asked for. Raises Refused for what cannot be had here."""
        if said["model"] not in (None, "", here):
            known(said["model"])
        if said["size"] not in (None, "", "auto", size):
            raise wrong(f"size must be {size} or auto: this model has no other", "size")
        if said["output_compression"] not in (None, 100):
            raise wrong("output_compression cannot be chosen here: leave it out",
                        "output_compression")  # fmt: skip
        asked = {row.field: said[row.field] for row in options if said[row.field] is not None}
        if asked.get("style") in THEIR_STYLES and asked["style"] not in maker.about.styles:
            del asked["style"]
        if "drawing" in asked:
            asked["drawing"] = data_url(asked["drawing"])
        return asked

    def known(name: str) -> Model:
        if name == here:
            return Model(id=here)
        raise wrong(f"there is no such model here: this one is {here}", "model", 404)

    @app.post("/images/generations", response_model=Answer, response_model_exclude_none=True,
              responses=PROBLEMS)  # fmt: skip
    async def generate(
        request: Request,
        response: Response,
        body: Annotated[asked_for, Body()],
    ) -> Any:
        """Make pictures of a prompt, in one batch; their seeds follow one another, from `seed`."""
        said = body.model_dump()
        asked = own(said)
        format: Any = said["output_format"] or "png"
        row = seeds(asked.pop("seed", None), said["n"] or 1)
        headers = {"X-Seed": ", ".join(map(str, row))}
        if said["stream"]:
            made = await pictures(request, maker, asked, row, format)
            events = "".join(_event(one, format, size) for one in made)
            return Response(events, media_type="text/event-stream", headers=headers)
        if said["response_format"] == "url":
            data = [One(url=address(request, asked, seed, format), seed=seed) for seed in row]
        else:
            made = await pictures(request, maker, asked, row, format)
            data = [
                One(b64_json=_base64(one), seed=seed, warning=note(one, asked) or None)
                for one, seed in zip(made, row, strict=True)
            ]
        response.headers.update(headers)
        return Answer(created=int(time.time()), data=data, output_format=format, size=size)

    def address(request: Request, asked: Mapping[str, Any], seed: int, format: str) -> str:
        """Where the picture is made when somebody looks: it is a function of its request."""
        try:
            maker.checked({**asked, "seed": seed})
        except Exception as error:
            raise refusal(error) from None
        query = urlencode({**asked, "seed": seed, "format": format}, errors="replace")
        found = f"{root(request)}/api/picture?{query}"
        if "drawing" in asked or len(found) > LONGEST_ADDRESS:
            raise wrong("this request is too long for an address: ask for b64_json",
                        "response_format")  # fmt: skip
        return found

    @app.get("/models", responses=PROBLEMS)
    async def models() -> Models:
        """The one model that is here."""
        return Models(data=[Model(id=here)])

    @app.get("/models/{name:path}", responses=PROBLEMS)
    async def one_model(name: str) -> Model:
        """The model, by its name."""
        return known(name)

    return app


def _base64(made: Made) -> str:
    return base64.b64encode(made.file).decode("ascii")


def _event(made: Made, format: str, size: str) -> str:
    """A picture as an event of a stream: there is nothing to be seen before it is there."""
    kind = "image_generation.completed"
    event = {
        "type": kind, "b64_json": _base64(made), "created_at": int(time.time()), "size": size,
        "quality": "auto", "background": "opaque", "output_format": format, "usage": NO_TOKENS,
    }  # fmt: skip
    return f"event: {kind}\ndata: {json.dumps(event)}\n\n"
