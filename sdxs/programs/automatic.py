"""The form of AUTOMATIC1111's stable-diffusion-webui: `POST /sdapi/v1/txt2img`, with ControlNet in
the small, and the lists that its clients ask for.

What its clients always send and one step has none of is taken and named in `info`; what would
change the picture and cannot be done is refused. Knows nothing of other forms.
"""

import base64
import io
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI, Request
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from sdxs.arguments import encodable
from sdxs.conditions import CONDITIONS
from sdxs.metadata.marker import FIRST
from sdxs.programs.form import (
    MOST,
    data_url,
    form,
    model_name,
    note,
    pictures,
    problems,
    seeds,
    wrong,
)
from sdxs.service.making import Maker
from sdxs.service.painting import Made
from sdxs.service.restoring import LORA

SAMPLER = FIRST["Sampler"]
CHANGING = (  # of theirs, what would change the picture, unless it is off
    "enable_hr", "restore_faces", "tiling", "subseed_strength", "script_name",
    "refiner_checkpoint", "firstpass_image",
)  # fmt: skip
NOBODY = (None, "", "none")  # of a unit's model or module: as they write nothing
UNIT = ("enabled", "image", "input_image", "module", "model", "weight")  # what counts of one
VERSION = 2  # of ControlNet's form


class Problem(BaseModel):
    """Why there is no picture."""

    detail: str


class Txt2Img(BaseModel):
    """What counts of their request; more of it is taken, see `info`."""

    model_config = ConfigDict(extra="allow")
    prompt: str = Field(description="<lora:NAME:0.8> in it is a style")
    seed: int | None = Field(-1, description="-1: one is chosen, and told in info")
    batch_size: int = Field(1, ge=1, le=MOST)
    n_iter: int = Field(1, ge=1, le=MOST, description=f"times batch_size at most {MOST}")
    styles: list[str] | None = Field(None, description="the name of a template, or none")
    send_images: bool = True
    alwayson_scripts: dict[str, Any] | None = Field(None, description="controlnet: one unit")
    override_settings: dict[str, Any] | None = Field(None, description="sd_model_checkpoint: ours")


class Pictures(BaseModel):
    """images: PNG files in base64. info: JSON, see the document."""

    images: list[str]
    parameters: dict[str, Any]
    info: str


class Settings(BaseModel):
    """The one setting that there is."""

    model_config = ConfigDict(extra="allow")
    sd_model_checkpoint: str | None = None


PROBLEMS = problems(Problem)


def txt2img(maker: Maker) -> FastAPI:
    """The app, to be mounted at /sdapi/v1."""
    app = form("stable-diffusion-webui's form", lambda told, _: {"detail": told.note})
    about, here = maker.about, model_name(maker.about)
    offered = {row.field for row in maker.rows}
    width, height = about.size

    def is_here(model: Any) -> None:
        if model not in (None, "", here):
            raise wrong(f"there is no such model here: this one is {here}")

    @app.post("/txt2img", responses=PROBLEMS)
    async def paint(request: Request, body: Txt2Img) -> Pictures:
        """Make pictures of a prompt, in one batch; their seeds follow one another."""
        count = body.batch_size * body.n_iter
        if count > MOST:
            raise wrong(f"batch_size times n_iter is {count}: ask for {MOST} at most")
        more = body.model_extra or {}
        for name in CHANGING:
            if more.get(name) not in (None, "", 0, "None"):
                raise wrong(f"there is no {name} here: leave it out")
        settings = dict(body.override_settings or {})
        is_here(settings.pop("sd_model_checkpoint", None))
        unit, scripts = _unit(body.alwayson_scripts or {})
        asked = {**_styled(body.prompt), **_followed(unit, maker), **_template(body.styles or [])}
        for field in ("style", "template"):
            if field in asked and field not in offered:
                raise wrong(f"there is no {field} {asked[field]} here: leave it out")
        row = seeds(None if body.seed == -1 else body.seed, count)
        made = await pictures(request, maker, asked, row, "png")
        prompt = encodable(asked["prompt"])
        none = [""] * count
        ignored = sorted({*_ignored(more, about.size), *settings, *scripts, *_of_unit(unit)})
        info = {
            "prompt": prompt, "all_prompts": [prompt] * count,
            "negative_prompt": "", "all_negative_prompts": none,
            "seed": row[0], "all_seeds": row, "subseed": row[0], "all_subseeds": row,
            "subseed_strength": 0, "width": width, "height": height,
            "sampler_name": SAMPLER, "cfg_scale": 1, "steps": 1, "batch_size": body.batch_size,
            "sd_model_name": here, "styles": body.styles or [],
            "infotexts": [_said(one) for one in made],
            "index_of_first_image": 0, "job_timestamp": time.strftime("%Y%m%d%H%M%S"),
            "warnings": list(dict.fromkeys(filter(None, (note(one, asked) for one in made)))),
            "ignored": ignored,
        }  # fmt: skip
        images = [base64.b64encode(one.file).decode("ascii") for one in made]
        own = {"prompt": prompt, "seed": row[0], "width": width, "height": height,
               "batch_size": body.batch_size, "n_iter": body.n_iter}  # fmt: skip
        return Pictures(
            images=images if body.send_images else [], parameters=own, info=json.dumps(info)
        )

    lists: dict[str, Any] = {
        "sd-models": [
            {"title": here, "model_name": here, "hash": None, "sha256": None, "filename": here,
             "config": None}
        ],
        "samplers": [{"name": SAMPLER, "aliases": [], "options": {}}],
        "schedulers": [{"name": "automatic", "label": "Automatic"}],
        "loras": [
            {"name": name, "alias": name, "path": name, "metadata": {}} for name in about.styles
        ],
        "prompt-styles": [
            {"name": name, "prompt": pattern, "negative_prompt": ""}
            for name, pattern in about.templates.items()
        ],
        "scripts": {"txt2img": ["controlnet"] if _controls(maker) else [], "img2img": []},
        "options": {"sd_model_checkpoint": here, "CLIP_stop_at_last_layers": 1},
        "progress": {
            "progress": 0.0, "eta_relative": 0.0, "current_image": None, "textinfo": None,
            "state": {"job": "", "job_count": 0, "job_no": 0, "sampling_step": 0,
                      "sampling_steps": 1, "skipped": False, "interrupted": False},
        },
        "cmd-flags": {"api": True},
    }  # fmt: skip
    for name, said in lists.items():
        _list(app, name, said)

    @app.post("/options", responses=PROBLEMS)
    async def settings(body: Settings) -> None:
        """Nothing can be set; to ask for the model that is here is no mistake."""
        is_here(body.sd_model_checkpoint)

    return app


def controlnet(maker: Maker) -> FastAPI:
    """The app of ControlNet's lists, to be mounted at /controlnet."""
    app = form("ControlNet's lists", lambda told, _: {"detail": told.note})
    controls = _controls(maker)
    _list(app, "model_list", {"model_list": list(dict.fromkeys(controls.values()))})
    _list(app, "module_list", {"module_list": ["none", *controls]})
    _list(app, "version", {"version": VERSION})
    return app


def _list(app: FastAPI, name: str, said: Any) -> None:
    """A route that says what never changes."""

    async def known() -> Any:
        return said

    app.get(f"/{name}", name=name, responses=PROBLEMS)(known)


def _said(made: Made) -> str:
    """What a picture's file says of how it was made."""
    return str(Image.open(io.BytesIO(made.file)).info.get("parameters", ""))


def _styled(prompt: str) -> dict[str, Any]:
    """The prompt without a LoRA in it, which is the style. Raises Refused for more than one."""
    tags = LORA.findall(prompt)
    if not tags:
        return {"prompt": prompt}
    if len(tags) > 1:
        raise wrong("one picture has one LoRA: leave the others out")
    parts = (part.strip() for part in LORA.sub("", prompt).split(","))
    ((name, strength),) = tags
    return {"prompt": ", ".join(filter(None, parts)), "style": name, "style_scale": strength or 1}


def _template(styles: list[str]) -> dict[str, Any]:
    """Their styles are texts around a prompt. Raises Refused for more than one."""
    if len(styles) > 1:
        raise wrong("one picture has one of these styles: leave the others out")
    return {"template": styles[0]} if styles else {}


def _unit(scripts: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The ControlNet that is on, and the names of what other scripts there are. Raises Refused."""
    units, others = [], []
    for name, script in scripts.items():
        if str(name).lower() != "controlnet":
            others.append(str(name))
            continue
        args = script.get("args") if isinstance(script, dict) else None
        for unit in args if isinstance(args, list) else []:
            if isinstance(unit, dict) and unit.get("enabled", True):
                units.append(unit)
    if len(units) > 1:
        raise wrong("one picture follows one ControlNet: turn the others off")
    return (units[0] if units else {}), others


def _followed(unit: Mapping[str, Any], maker: Maker) -> dict[str, Any]:
    """What a unit asks for. Raises Refused for what there is not here."""
    if not unit:
        return {}
    picture = unit.get("image") or unit.get("input_image")
    picture = picture.get("image") if isinstance(picture, dict) else picture
    if not picture:
        raise wrong("the ControlNet has no picture to follow: give image, or turn it off")
    controls = _controls(maker)
    if not controls:
        raise wrong("no ControlNet is loaded here: turn it off")
    module, model = (_lower(unit.get(name)) for name in ("module", "model"))
    ways = [
        way for way, control in controls.items()
        if module in (*NOBODY, way) and model in (*NOBODY, control)
    ]  # fmt: skip
    if not ways:
        modules, models = ", ".join(controls), ", ".join(dict.fromkeys(controls.values()))
        raise wrong(f"there is no such ControlNet here: modules are {modules}; models are {models}")
    weight = unit.get("weight")
    return {
        "drawing": data_url(picture), "condition": ways[0],
        "strength": 1 if weight is None else weight,
    }  # fmt: skip


def _controls(maker: Maker) -> dict[str, str]:
    """{module: model} of what can be followed."""
    followed = any(row.field == "drawing" for row in maker.rows)
    return {way: CONDITIONS[way].control for way in maker.about.conditions if followed}


def _lower(name: Any) -> Any:
    return name.lower() if isinstance(name, str) else name


def _ignored(more: Mapping[str, Any], size: tuple[int, int]) -> Iterator[str]:
    """What is said of a picture that makes no difference here."""
    for name, value in more.items():
        if value in (None, "", [], {}, False) or name in CHANGING:
            continue
        if (name, value) not in (("width", size[0]), ("height", size[1])):
            yield name


def _of_unit(unit: Mapping[str, Any]) -> Iterator[str]:
    for name, value in unit.items():
        if name not in UNIT and value not in (None, "", False):
            yield f"controlnet.{name}"
