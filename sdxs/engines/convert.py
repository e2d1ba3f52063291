"""Stores a graph: `python -m sdxs.engines.convert`, a process of its own, told what by its input.

A process, because tracing takes seconds in which Python does nothing else, needs the networks once
more in memory, and must be free to be killed. It lets others have the processor first.
"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from sdxs.checkpoint.open import Places
from sdxs.engines import cache
from sdxs.engines.openvino import OpenVINO
from sdxs.engines.runtime import Runtime
from sdxs.model.eager import EagerEngine
from sdxs.model.folding import fold
from sdxs.model.graph import Spec, build_graph, example_inputs

RUNTIMES: dict[str, type[Runtime]] = {OpenVINO.name: OpenVINO}
CPU = torch.device("cpu")
SMALLEST = 2  # latents of the traced picture's side, in steps of the lowest stage
NICE = 10


def facts_of(runtime: Runtime, places: Places, spec: Spec) -> dict[str, Any]:
    """All that a stored graph depends on."""
    named = {**places.styles, **places.controls}
    used = [named[name] for name in (*spec.styles, *spec.controls)]
    package = Path(__file__).parent.parent
    return {
        "spec": asdict(spec) | {"styles": list(spec.styles), "controls": list(spec.controls)},
        "weights": cache.fingerprint(places.folder, *used),
        "code": cache.fingerprint(package / "model", package / "engines"),
        **runtime.versions(),
    }


def store(runtime: Runtime, places: Places, spec: Spec, root: Path) -> Path:
    """Read the networks, trace the graph, and keep it under `root`. Raises OSError."""
    facts = facts_of(runtime, places, spec)
    used = Places(
        places.folder,
        {name: places.styles[name] for name in spec.styles},
        {name: places.controls[name] for name in spec.controls},
    )
    networks, readers, one_step = used.read(runtime.read_as)
    line = one_step.line()
    if line is None:
        raise ValueError("the scheduler's step is not linear")
    folded = fold(networks, one_step.timestep)
    engine = EagerEngine(folded, one_step, CPU, runtime.read_as)
    side = SMALLEST * 2 ** (len(folded.unet.config.down_block_types) - 1)
    example = example_inputs(engine, spec, readers.length, (side, side))
    graph = build_graph(engine, line, spec)
    return cache.keep(facts, root, lambda folder: runtime.save(graph, example, folder))


def asked(runtime: str, dtype: torch.dtype, places: Places, spec: Spec, root: Path) -> str:
    """What this command reads."""
    paths = {
        "folder": str(places.folder),
        "styles": {name: str(place) for name, place in places.styles.items()},
        "controls": {name: str(place) for name, place in places.controls.items()},
    }
    told = {"runtime": runtime, "dtype": str(dtype).removeprefix("torch."), "root": str(root)}
    return json.dumps({**told, "places": paths, "spec": asdict(spec)})


def answer(told: str) -> Path:
    """Store what `asked` describes. Raises ValueError, OSError, CheckpointError."""
    read = json.loads(told)
    paths, spec = read["places"], read["spec"]
    places = Places(
        Path(paths["folder"]),
        {name: Path(place) for name, place in paths["styles"].items()},
        {name: Path(place) for name, place in paths["controls"].items()},
    )
    runtime = RUNTIMES[read["runtime"]](CPU, getattr(torch, read["dtype"]))
    wanted = Spec(spec["decoder"], tuple(spec["styles"]), tuple(spec["controls"]))
    return store(runtime, places, wanted, Path(read["root"]))


if __name__ == "__main__":
    if hasattr(os, "nice"):
        os.nice(NICE)
    print(answer(sys.stdin.read()))
