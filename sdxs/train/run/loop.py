"""The loop that every stage shares: steps, progress, states, exact resume, on any number of ranks.

A stage hands over what has state and a function that does one step. All chance in a step comes
from the generator it is given, which depends on (seed, step) alone, so a run that was killed
and resumed ends in the same weights as one never stopped. A batch that is computed in several
micro-batches has a generator for each (`split`), whatever rank computes it. Knows nothing of models
or losses.
"""

import hashlib
import json
import math
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from tqdm import tqdm

from sdxs.train.run import ranks, sharding
from sdxs.train.run.machine import DEVICE
from sdxs.train.run.states import Pace, TrainingError, load_state, save_state
from sdxs.train.run.states import replacing as replacing

DECAY = 0.35  # share of the steps over which a trapezoid falls to zero
FLAT = 1 - DECAY  # share before that


class Stateful(Protocol):
    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...


Step = Callable[[int, torch.Generator], Mapping[str, float]]  # its index; what it logs


def chance(seed: int, step: int) -> torch.Generator:
    """The generator of one step; a function of (seed, step) alone."""
    digest = hashlib.sha256(f"{seed}/{step}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def split(generator: torch.Generator, count: int) -> list[torch.Generator]:
    """This rank's generators of a step's `count` micro-batches: of every world-th, from its own on.

    One micro-batch has the step's. Of several each depends on (seed, step), on what the step drew
    before and on its own place: draw nothing from `generator` that the other ranks do not.
    """
    if count == 1:
        return [generator]
    seeds = torch.randint(2**62, (count,), generator=generator).tolist()
    mine = seeds[ranks.rank() :: ranks.world()]
    return [torch.Generator().manual_seed(seed) for seed in mine]


def plain(generator: torch.Generator) -> random.Random:
    """Python's own chance, drawn from torch's."""
    return random.Random(int(torch.randint(2**62, (1,), generator=generator)))


def cosine(step: int, steps: int, warmup: int = 100) -> float:
    """Learning-rate factor: linear warm-up, then half a cosine to zero."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 + 0.5 * math.cos(math.pi * (step - warmup) / max(1, steps - warmup))


def trapezoid(step: int, steps: int, warmup: int = 200, decay: float = DECAY) -> float:
    """Learning-rate factor: linear warm-up, constant, linear to zero over the last share."""
    return min(1.0, (step + 1) / warmup, (steps - step) / (decay * steps))


def fingerprint(network: nn.Module) -> str:
    """Tells one set of weights from another, so that a cache never mixes them."""
    return fingerprint_of(network.state_dict())


def fingerprint_of(tensors: Mapping[str, Tensor]) -> str:
    """The same of tensors by name, in whatever order."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        tensor = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


@contextmanager
def board(folder: Path) -> Iterator[Callable[[str, float, int], Any]]:
    """TensorBoard's `add_scalar` for a run, or nothing where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        yield lambda *_: None
        return
    with SummaryWriter(str(folder)) as writer:
        yield writer.add_scalar


def run(
    folder: Path,
    parts: Mapping[str, Stateful],
    step: Step,
    *,
    steps: int,
    seed: int,
    settings: Mapping[str, Any],
    title: str,
    save_seconds: float = 180.0,
    flat: float = 0.0,
) -> float:
    """Do the steps that are left. Returns the seconds that all steps took, resumed ones included.

    `settings` must be those of the checkpoint, or `TrainingError` names the one that is not.
    `flat` is the share of the steps in which nothing depends on how many there are; within it,
    a run may be resumed with other `steps` and ends as if it had been begun with them. All ranks
    begin with the main one's weights; it alone writes.
    """
    about = {**settings, **ranks.facts(), "seed": seed, "steps": steps}
    settings = json.loads(json.dumps(about))
    shared, main = sharding.is_sharded(parts.values()), ranks.is_main()
    with ranks.main_first():
        state = load_state(folder)
    first, spent = 0, 0.0
    means: dict[str, float] = {}
    if state is not None:
        before: dict[str, Any] = {"ranks": 1, **state["settings"]}
        asked: dict[str, Any] = {"ranks": 1, **settings}
        for name in before.keys() | asked.keys():
            was: Any = before.get(name)
            now: Any = asked.get(name)
            if name == "steps" and state["step"] <= flat * min(was, now):
                continue
            if was != now:
                raise TrainingError(
                    f"{folder} was begun with {name}={was}, not {now}: use that, or another --run"
                )
        for name, part in parts.items():
            part.load_state_dict(sharding.spread(state[name], part) if shared else state[name])
            if isinstance(part, EMAModel):  # it stays where its state was read to
                part.to(DEVICE)
        first, spent, means = state["step"], state["seconds"], state.get("means", {})
    ranks.agree({**settings, "the step to go on from": first})
    for part in parts.values():
        if isinstance(part, nn.Module) and not sharding.is_sharded([part]):
            ranks.share_weights([*part.parameters(), *part.buffers()])

    def save(done: int) -> None:
        for name, part in parts.items():
            weights = part.parameters() if isinstance(part, nn.Module) else ()
            if not all(sharding.local(weight).isfinite().all() for weight in weights):
                raise TrainingError(f"{title}: {name} has weights that are not finite at {done}")
        seconds = spent + time.monotonic() - began
        with pace.saving():
            states = {name: sharding.whole(part.state_dict()) for name, part in parts.items()}
            told = {"step": done, "seconds": seconds, "means": means, "settings": settings}
            if main:
                save_state(folder, done, {**states, **told})

    folder.mkdir(parents=True, exist_ok=True)
    began, pace = time.monotonic(), Pace(save_seconds)
    bar = tqdm(
        range(first, steps),
        initial=first,
        total=steps,
        desc=title,
        dynamic_ncols=True,
        mininterval=5.0 if not os.isatty(2) else 0.2,
        disable=not main,
    )
    shown = board(folder) if main else nullcontext(lambda *_: None)
    with open(folder / "metrics.jsonl" if main else os.devnull, "a") as log, shown as show:
        for index in bar:
            for name, value in step(index, chance(seed, index)).items():
                if not math.isfinite(value):
                    raise TrainingError(f"{title}: {name} is {value} at step {index}")
                means[name] = value if name not in means else 0.98 * means[name] + 0.02 * value
            if index % 20 == 0 or index + 1 == steps:
                bar.set_postfix({name: f"{value:.4g}" for name, value in means.items()})
                print(json.dumps({"step": index, **means}), file=log, flush=True)
                for name, value in means.items():
                    show(name, value, index)
            due = pace.due
            if shared:  # then all ranks have a part in it, when the main one says so
                due = ranks.gathered(due)[0]
            if (main or shared) and due and index + 1 < steps:
                save(index + 1)
    if (main or shared) and first < steps:
        save(steps)
    return spent + time.monotonic() - began
