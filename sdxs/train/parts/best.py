"""The best weights of a run, by captions that nothing trains on and a reader held back as a guard.

A student that is rewarded by one reader learns what pleases it; a second one, of other width, data
and seed, which has no part in the loss, says when that is no longer what captions state. Half of
the held-out captions name pairs of thing and colour that training never shows.
"""

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sdxs.storybook.judges.evaluator import check
from sdxs.storybook.world.captions import Caption, describe
from sdxs.storybook.world.scenes import HELD_OUT_SEED, sample_scenes
from sdxs.train.parts.reading import Reading
from sdxs.train.parts.reward import Wanted
from sdxs.train.run import ranks
from sdxs.train.run.machine import DEVICE, fast

BATCH = 50
PURE = 0.9  # share of a thing's cells in one colour from which it counts as of one colour
LOG = "held_out.jsonl"
Paint = Callable[[list[str], Tensor], Tensor]  # prompts and noise (B, 4, h, w) to latents


def held_out(count: int, unseen: str) -> list[Caption]:
    """Captions of scenes that nothing trains on, nor is scored on."""
    rng = random.Random(HELD_OUT_SEED + 5)
    return [describe(s, rng) for s in sample_scenes(count, HELD_OUT_SEED + 5, unseen=unseen)]


@torch.no_grad()
def guarded(paint: Paint, guard: nn.Module, count: int, side: int) -> dict[str, float]:
    """What the guard reads in `count` pictures of seen and as many of unseen pairs, shares each.

    seen, unseen: captions with all that they state right. counted: pictures in which every kind is
    there as often as the caption has it. pure: things of one colour.
    """
    out: dict[str, float] = {}
    counted, pure = [], []
    for name, unseen in (("seen", "never"), ("unseen", "always")):
        captions, right = held_out(count, unseen), []
        generator = torch.Generator().manual_seed(HELD_OUT_SEED)
        for i in range(0, count, BATCH):
            some = captions[i : i + BATCH]
            noise = torch.randn(len(some), 4, side, side, generator=generator)
            latents = paint([caption.text for caption in some], noise.to(DEVICE))
            with fast():
                reading: Reading = guard(latents.to(memory_format=torch.channels_last))
            right += [all(ok for _, ok in row) for row in check(reading.sight(), some)]
            wanted = Wanted.of(some, DEVICE)
            counted += (reading.counts.round() == wanted.counts).all(1).tolist()
            tones = reading.over(reading.colours)
            tones = tones / tones.sum(-1, keepdim=True).clamp(min=1e-6)
            pure += (tones.amax(-1)[wanted.counts > 0] > PURE).tolist()
        out[name] = sum(right) / len(right)
    out |= {"counted": sum(counted) / len(counted), "pure": sum(pure) / len(pure)}
    return {name: round(value, 4) for name, value in out.items()}


def worth(found: dict[str, float]) -> float:
    """One number of them: what is stated, seen and unseen, and counts.

    Not purity: the guard finds a third of the things of renders pure, shaded as they are, and more
    than that is no better.
    """
    return found["seen"] + found["unseen"] + found["counted"]


class Best:
    """The weights of a network when they were worth most; a part of the state of a run."""

    def __init__(self, network: nn.Module, folder: Path) -> None:
        self.network, self.log = network, folder / LOG
        self.step, self.worth = -1, float("-inf")
        self.weights: dict[str, Tensor] = {}

    def look(self, step: int, found: dict[str, float]) -> None:
        """Keep the network's weights if they are worth more than any before."""
        if worth(found) > self.worth:
            self.step, self.worth = step, worth(found)
            state = self.network.state_dict()
            self.weights = {name: weight.detach().cpu().clone() for name, weight in state.items()}
        with open(self.log if ranks.is_main() else os.devnull, "a") as log:
            print(json.dumps({"step": step, **found, "best": self.step}), file=log)

    def settle(self) -> None:
        """Put the best weights into the network, if any were looked at."""
        if self.weights:
            self.network.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step, "worth": self.worth, "weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.step, self.worth = state_dict["step"], state_dict["worth"]
        self.weights = state_dict["weights"]
