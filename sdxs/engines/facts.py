"""What a stored graph depends on, and what of a checkpoint is remembered beside its graphs.

With both a program that has painted before starts without reading a network. Knows nothing of how
graphs are made.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from sdxs.arguments import Offer
from sdxs.checkpoint.open import Facts, Opened, Places
from sdxs.engines import cache
from sdxs.engines.int8 import OpenVINOInt8
from sdxs.engines.onnx import OnnxRuntime
from sdxs.engines.openvino import OpenVINO
from sdxs.engines.runtime import Runtime
from sdxs.model.graph import Spec
from sdxs.model.schedule import LinearStep
from sdxs.tokens import PromptReader, PromptReaders

RUNTIMES: dict[str, type[Runtime]] = {
    each.name: each for each in (OpenVINO, OpenVINOInt8, OnnxRuntime)
}
PACKAGE = Path(__file__).parent.parent
CODE = ("checkpoint/*.py", "engines/*.py", "model/*.py", "picture.py")  # what a graph comes of
LIBRARIES = ("diffusers", "transformers")
REMEMBERED = "facts.json"
CHANGED = "the weights on disk have changed since they were opened"


class Changed(Exception):
    """The weights on disk are no longer those that were loaded."""


def facts_of(
    runtime: Runtime, places: Places, spec: Spec, prompts: Sequence[str] = ()
) -> dict[str, Any]:
    """All that a stored graph depends on; prompts: that it is calibrated on. Raises OSError."""
    return {
        "spec": json.loads(json.dumps(asdict(spec))),
        "weights": cache.fingerprint(places.only(spec.styles, spec.controls).files()),
        "prompts": list(prompts),
        **_code(),
        **runtime.versions(),
    }


def request(
    runtime: str, dtype: torch.dtype, places: Places, spec: Spec, facts: dict[str, Any], root: Path
) -> str:
    """What `answer` reads."""
    used = places.only(spec.styles, spec.controls)
    paths = {
        "folder": str(places.folder),
        "styles": {name: str(place) for name, place in used.styles.items()},
        "controls": {name: str(place) for name, place in used.controls.items()},
    }
    told = {"runtime": runtime, "dtype": str(dtype).removeprefix("torch."), "root": str(root)}
    return json.dumps({**told, "places": paths, "spec": asdict(spec), "facts": facts})


def _code() -> dict[str, str]:
    """What reads and traces. Raises OSError."""
    files = (file for pattern in CODE for file in PACKAGE.glob(pattern))
    code = cache.fingerprint({file.relative_to(PACKAGE).as_posix(): file for file in files})
    return {"code": code, **{library: version(library) for library in LIBRARIES}}


def remember(opened: Opened) -> None:
    """Keep what is known of a checkpoint, for `recall`; where nothing can be kept, it is not."""
    facts = opened.facts
    told = {
        "offer": asdict(facts.offer),
        "readers": [[each.json, each.pad, each.length] for each in facts.readers.readers],
        "step": facts.step,
        "text_styles": sorted(facts.text_styles),
        "doubt": facts.doubt,
    }
    with suppress(OSError):
        named = _named(opened.places)
        if cache.found(named, _root()) is None:
            cache.keep(named, _root(), lambda folder: _write(folder / REMEMBERED, told))


def recall(places: Places) -> Facts | None:
    """What `remember` kept of the very same files, None where it did not."""
    try:
        folder = cache.found(_named(places), _root())
    except OSError:
        return None
    if folder is None:
        return None
    told = json.loads((folder / REMEMBERED).read_text(encoding="utf-8"))
    offer = {name: _tuple(value) for name, value in told["offer"].items()}
    return Facts(
        Offer(**offer),
        PromptReaders([PromptReader(*each) for each in told["readers"]]),
        told["step"] and LinearStep(*told["step"]),
        frozenset(told["text_styles"]),
        told["doubt"],
    )


def _root() -> Path:
    return cache.cache_folder() / "checkpoints"


def _named(places: Places) -> dict[str, Any]:
    """What it depends on. Raises OSError."""
    return {
        "styles": list(places.styles),
        "controls": list(places.controls),
        "weights": cache.fingerprint(places.files()),
        **_code(),
    }


def _write(file: Path, told: dict[str, Any]) -> None:
    file.write_text(json.dumps(told), encoding="utf-8")


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
