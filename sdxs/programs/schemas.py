"""The table of options as JSON Schema, and as the model of a request that carries them.

A schema is what programs are told; what counts of a value, the table's own check decides, so that
every form refuses it in the same words. Knows nothing of forms.
"""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, Field, WithJsonSchema, create_model

from sdxs.arguments import LARGEST_SEED
from sdxs.service.kinds import Choice, Option, Picture, Prompt, Slider, Text
from sdxs.service.making import Maker


def rows(options: Iterable[Option]) -> list[Option]:
    """Those of a page's options that programs may use."""
    return [row for row in options if row.programs]


def schema(row: Option, maker: Maker) -> dict[str, Any]:
    """JSON Schema of an option's values, for a page."""
    kind: dict[str, Any] = {"type": "string"}
    match row.widget:
        case Prompt():
            kind |= {"minLength": 1, "maxLength": maker.bounds.prompt}
        case Text(rolls=True):
            kind = {"type": "integer", "minimum": 0, "exclusiveMaximum": LARGEST_SEED + 1}
        case Slider(low, high):
            kind = {"type": "number", "minimum": low, "maximum": high, "default": row.start}
        case Choice():
            kind |= {"enum": list(row.names(maker.about))}
        case Picture():
            kind |= {"description": "PNG, JPEG or WebP: base64, or a data URL"}
    if row.field == "seed":
        kind["description"] = "one is chosen, and told, where none is given"
    if row.needs:
        kind["description"] = f"with {row.needs} alone"
    return {"title": row.label, **kind}


def model(base: type[BaseModel], options: Iterable[Option], maker: Maker) -> type[BaseModel]:
    """A request with these options, of any value, beside the fields of `base`."""
    fields: dict[str, Any] = {
        row.field: (
            Annotated[Any, WithJsonSchema(schema(row, maker))],
            Field(... if row.field == "prompt" else None),
        )
        for row in options
    }
    return create_model(base.__name__, __base__=base, **fields)
