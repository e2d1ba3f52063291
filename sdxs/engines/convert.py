"""What makes a stored graph of a checkpoint's networks; `python -m sdxs.engines` is that alone.

A process of its own, because tracing takes seconds in which Python does nothing else, needs the
networks once more in memory, and must be free to be killed.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from sdxs.checkpoint.open import Places
from sdxs.engines import cache
from sdxs.engines.calibration import samples
from sdxs.engines.int8 import OpenVINOInt8
from sdxs.engines.onnx import OnnxRuntime
from sdxs.engines.openvino import OpenVINO
from sdxs.engines.runtime import Runtime
from sdxs.model.eager import EagerEngine
from sdxs.model.folding import fold
from sdxs.model.graph import Spec, build_graph, example_inputs

RUNTIMES: dict[str, type[Runtime]] = {
    each.name: each for each in (OpenVINO, OpenVINOInt8, OnnxRuntime)
}
CPU = torch.device("cpu")
SMALLEST = 2  # latents of the traced picture's side, in steps of the lowest stage
PACKAGE = Path(__file__).parent.parent
CODE = ("checkpoint/*.py", "engines/*.py", "model/*.py", "picture.py")  # what a graph comes of
LIBRARIES = ("diffusers", "transformers")


class Changed(Exception):
    """The weights on disk are no longer those that were loaded."""


def facts_of(
    runtime: Runtime, places: Places, spec: Spec, prompts: Sequence[str] = ()
) -> dict[str, Any]:
    """All that a stored graph depends on; prompts: that it is calibrated on. Raises OSError."""
    code = (file for pattern in CODE for file in PACKAGE.glob(pattern))
    return {
        "spec": json.loads(json.dumps(asdict(spec))),
        "weights": cache.fingerprint(places.only(spec.styles, spec.controls).files()),
        "code": cache.fingerprint({file.relative_to(PACKAGE).as_posix(): file for file in code}),
        "prompts": list(prompts),
        **{library: version(library) for library in LIBRARIES},
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


def answer(told: str) -> Path:
    """Read the networks, trace the graph, keep it. Raises Changed, OSError, CheckpointError."""
    read = json.loads(told)
    paths, spec = read["places"], read["spec"]
    places = Places(
        Path(paths["folder"]),
        {name: Path(place) for name, place in paths["styles"].items()},
        {name: Path(place) for name, place in paths["controls"].items()},
    )
    runtime = RUNTIMES[read["runtime"]](CPU, getattr(torch, read["dtype"]))
    wanted = Spec(spec["decoder"], tuple(spec["styles"]), tuple(spec["controls"]))

    networks, readers, one_step = places.read(runtime.weights_dtype)
    if cache.fingerprint(places.files()) != read["facts"]["weights"]:
        raise Changed("the weights on disk have changed since they were loaded")
    step = one_step.linear()
    if step is None:
        raise ValueError("the scheduler's step is not linear")
    folded = fold(networks, one_step.timestep)
    engine = EagerEngine(folded, one_step, CPU, runtime.weights_dtype)
    side = SMALLEST * 2 ** (len(folded.unet.config.down_block_types) - 1)
    example = example_inputs(engine, wanted, readers.length, (side, side))
    graph = build_graph(engine, step, wanted)
    prompts = read["facts"]["prompts"]
    given = samples(engine, readers, wanted, prompts, folded.size) if wanted.decoder else ()

    def write(folder: Path) -> None:
        runtime.save(graph, example, folder, given)

    return cache.keep(read["facts"], Path(read["root"]), write)
