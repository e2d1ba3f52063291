"""What each exact saving of `sdxs.model.folding` is worth, one after the other, on a CPU.

`python -m sdxs.bench.savings --checkpoint storybook`, or `random:sdxs-512`. From noise to pixels,
by the eager engine and by OpenVINO's graph, which take turns; in Markdown.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sdxs.errors import NEEDS_TORCH

if find_spec("torch") is None:
    sys.exit(NEEDS_TORCH)

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from sdxs.bench.__main__ import checkpoint, count
from sdxs.checkpoint.open import open_checkpoint
from sdxs.config import EMBEDDED
from sdxs.engines.compare import outputs
from sdxs.engines.openvino import OpenVINO
from sdxs.errors import SDXSError
from sdxs.granted import granted_cores
from sdxs.model.eager import EagerEngine
from sdxs.model.engine import Networks
from sdxs.model.folding import fold, fold_decoder, fold_timestep
from sdxs.model.graph import Spec, build_graph, example_inputs
from sdxs.model.hardware import choose_dtype, cpu_name, limit_threads
from sdxs.model.text import Words

CPU = torch.device("cpu")


def biases(networks: Networks, t: Tensor) -> Networks:
    return replace(networks, unet=fold_timestep(networks.unet, t))


def tail(networks: Networks, t: Tensor) -> Networks:
    decoders = networks.decoders.items()
    folded = {name: fold_decoder(each, transposed=False) for name, each in decoders}
    return replace(biases(networks, t), decoders=folded)


SAVINGS: dict[str, Callable[[Networks, Tensor], Networks]] = {
    "nothing": lambda networks, t: networks,
    "the time step as biases": biases,
    "and the decoder's last convolutions as one": tail,
    "and nearest-2x with a convolution as a transposed one": fold,
}


def measure(name: str | Path, rounds: int, folder: Path) -> list[tuple[str, float, float, float]]:
    """Of each saving: GFLOP, and the median milliseconds of the eager engine and of the graph."""
    limit_threads()
    dtype = choose_dtype("auto", CPU)
    runtime = OpenVINO(CPU, dtype)
    gflop: list[float] = []
    works: list[tuple[Callable[[], None], Callable[[], None]]] = []
    for i, save in enumerate(SAVINGS.values()):
        opened = open_checkpoint(name, safety=False, device=CPU, dtype=dtype)
        step, spec = opened.one_step.linear(), Spec("tiny")
        if step is None:
            raise SDXSError("this checkpoint's scheduler clips or adds noise")
        networks = save(opened.networks, opened.one_step.timestep)
        eager = EagerEngine(networks, opened.one_step, CPU, dtype)
        width, height = opened.facts.offer.size
        sides = height // opened.facts.offer.factor, width // opened.facts.offer.factor
        inputs = example_inputs(eager, spec, opened.facts.readers.length, sides)
        read, _, _ = opened.places.read(runtime.weights_dtype)
        traced = EagerEngine(
            save(read, opened.one_step.timestep), opened.one_step, CPU, runtime.weights_dtype
        )
        place = folder / str(i)
        place.mkdir()
        example = example_inputs(traced, spec, opened.facts.readers.length, sides)
        runtime.save(build_graph(traced, step, spec), example, place)
        shapes = {name: tuple(value.shape) for name, value in inputs.items()}
        graph = runtime.compile(place, shapes)
        words = Words(inputs["states"], inputs.get("pooled"))

        def by_eager(engine: Any = eager, inputs: Any = inputs, words: Words = words) -> None:
            engine.paint(inputs["noise"], words, {}, [], "tiny")

        def by_graph(graph: Any = graph, inputs: Any = inputs) -> None:
            outputs(graph, inputs)

        with FlopCounterMode(display=False) as counter:
            by_eager()
        gflop.append(counter.get_total_flops() / 1e9)
        works.append((by_eager, by_graph))
    spans: list[list[list[float]]] = [[[], []] for _ in works]
    for i in tqdm(range(rounds + 2), desc="pictures", leave=False, disable=None):
        for row, pair in zip(spans, works, strict=True):
            for column, work in zip(row, pair, strict=True):
                start = time.perf_counter()
                work()
                if i >= 2:
                    column.append(1000 * (time.perf_counter() - start))
    return [
        (title, each, statistics.median(row[0]), statistics.median(row[1]))
        for title, each, row in zip(SAVINGS, gflop, spans, strict=True)
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(prog="python -m sdxs.bench.savings", description=__doc__)
    options.add_argument("--checkpoint", default=EMBEDDED, help="as of python -m sdxs.bench")
    options.add_argument("--rounds", type=count, default=30)
    asked = options.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="sdxs-") as folder:
            name = checkpoint(asked.checkpoint, Path(folder) / "checkpoint")
            rows = measure(name, asked.rounds, Path(folder))
    except SDXSError as error:
        print(f"sdxs: {error}", file=sys.stderr)
        return 2
    print(f"{asked.checkpoint}, {asked.rounds} rounds; {cpu_name()}, {granted_cores()} cores\n")
    print("| folded | GFLOP | eager, ms | OpenVINO, ms |\n| --- | --: | --: | --: |")
    for title, gflop, eager, graph in rows:
        print(f"| {title} | {gflop:.2f} | {eager:.1f} | {graph:.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
