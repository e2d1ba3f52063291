"""What makes a stored graph of a checkpoint's networks; `python -m sdxs.engines` is that alone.

A process of its own, because tracing takes seconds in which Python does nothing else, needs the
networks once more in memory, and must be free to be killed.
"""

import json
from pathlib import Path

import torch

from sdxs.checkpoint.open import Places
from sdxs.engines import cache
from sdxs.engines.calibration import samples
from sdxs.engines.facts import CHANGED, RUNTIMES, Changed
from sdxs.model.eager import EagerEngine
from sdxs.model.folding import fold
from sdxs.model.graph import Spec, build_graph, example_inputs
from sdxs.model.hardware import limit_threads

CPU = torch.device("cpu")
SMALLEST = 2  # latents of the traced picture's side, in steps of the lowest stage


def answer(told: str) -> Path:
    """Read the networks, trace the graph, keep it. Raises Changed, OSError, CheckpointError."""
    limit_threads()
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
        raise Changed(CHANGED)
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
