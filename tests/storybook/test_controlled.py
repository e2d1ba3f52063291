"""Scores of a control: what contradicts it, and a painter that follows perfectly."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sdxs.conditions import CONDITIONS
from sdxs.storybook import controlled
from sdxs.storybook.controlled import contradicted, measure
from sdxs.storybook.judges import controls
from sdxs.storybook.judges.controls import lines
from sdxs.storybook.judges.depth import DepthJudge
from sdxs.storybook.judges.evaluator import Evaluator
from sdxs.storybook.judges.tallies import share
from sdxs.storybook.world.captions import OPPOSITE, describe
from sdxs.storybook.world.render import render
from sdxs.storybook.world.scenes import Scene, sample_scenes
from sdxs.storybook.world.sketches import to_bytes
from sdxs.storybook.world.words import UNSEEN_PAIRS

SIDE = 64


def where(scene: Scene) -> Any:
    """What a caption says of places: of a lone thing its own, of two what each is to the other."""
    caption = describe(scene, random.Random(1), drop=0.0)
    if caption.relation is None:
        return caption.place
    first, second = caption.things
    return {first.kind: caption.relation, second.kind: OPPOSITE[caption.relation]}


def test_a_contradiction_has_other_colours_and_places() -> None:
    rng = random.Random(0)
    for scene in sample_scenes(50, 1, unseen="any"):
        other = contradicted(scene, rng)
        assert other.layout == scene.layout
        order = -1 if scene.layout == "depth" else 1  # the farther one comes to the front
        for a, b in zip(scene.things, other.things[::order], strict=True):
            assert a.kind == b.kind and a.height == b.height
            assert a.colour != b.colour and (b.colour, b.kind) not in UNSEEN_PAIRS
        if scene.layout == "side":
            assert [b.x for b in other.things] == [1 - a.x for a in scene.things]
        assert where(scene) != where(other)


class Painter:
    """Paints the scenes that are scored: exactly at full strength, else the same empty grey."""

    size, device = (SIDE, SIDE), torch.device("cpu")

    def __init__(self) -> None:
        self.scenes = sample_scenes(30, controls.SEED)
        self.seen: list[Any] = []

    def condition(self, name: str, picture: Image.Image) -> Image.Image:
        return CONDITIONS[name].make(picture, self.size)

    def __call__(self, prompts: list[str], **options: Any) -> torch.Tensor:
        self.seen.append((prompts, options))
        assert len(prompts) == len(options["seed"]) == len(options["control_image"])
        if options["control_scale"] < 1:
            return torch.zeros(len(prompts), 3, SIDE, SIDE)
        return render([self.scenes[seed] for seed in options["seed"]], SIDE).picture


@pytest.mark.parametrize("control", ["canny", "sketch", "depth"])
def test_a_perfect_painter(control: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def told(pictures: torch.Tensor, captions: list[Any]) -> list[list[tuple[str, bool]]]:
        asked.append([caption.text for caption in captions])
        return [[("colour", bool(picture.std() > 0))] for picture in pictures]

    monkeypatch.setattr(Evaluator, "load", lambda: lambda pictures: pictures)
    monkeypatch.setattr(controlled, "check", told)

    class Exact(DepthJudge):
        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            wanted = render(scenes[: len(pictures)], SIDE)
            exact = torch.equal(pictures, wanted.picture.clamp(-1, 1))
            return wanted.depth if exact else torch.zeros_like(wanted.depth)

    monkeypatch.setattr(DepthJudge, "load", lambda _: Exact())
    monkeypatch.setattr(controls, "load_depth", lambda *_: lambda seen: np.asarray(seen)[..., 0])
    painter = Painter()
    scenes = painter.scenes[:25]
    scores = measure(painter, control, 25)  # type: ignore[arg-type]
    names = ("depth", "relief") if control == "depth" else ("lines",)
    for name in names:
        for what in ("strength 1", "contradicted"):
            assert scores[f"{name}, {what}"]["mean"] == pytest.approx(1, abs=1e-6)
        for what in ("strength 0", "strength 0.75"):
            assert scores[f"{name}, {what}"]["mean"] == 0
    assert scores[f"{names[-1]}, another scene"]["mean"] < 0.7  # all depths are alike, not reliefs
    assert scores["attribute_accuracy, controlled"] == share(25, 25)
    assert scores["colour, contradicted"] == scores["attribute_accuracy, controlled"]
    assert scores["attribute_accuracy, plain"]["share"] == 0
    prompts = [prompts for prompts, _ in painter.seen]
    assert asked == [prompts[0], prompts[4], prompts[5]] and prompts[5] != prompts[4] == prompts[0]
    assert {options["control_scale"] for _, options in painter.seen} == set(controlled.STRENGTHS)
    if control == "sketch":  # drawn by hand, not the clean contours
        ours = np.asarray(painter.seen[0][1]["control_image"][0])
        clean = lines(to_bytes(render(scenes[:1], SIDE).picture)[0], control)
        assert ((ours > 127) != clean).any()
