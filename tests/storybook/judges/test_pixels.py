"""The judge that learns nothing: right on renders, refuses what is not there, sums as it says."""

import dataclasses
import json
import random

import pytest
import torch
from torch.nn import functional as F

from sdxs.storybook.judges import pixels
from sdxs.storybook.judges.evaluator import Sight, check
from sdxs.storybook.judges.painters import by_renderer
from sdxs.storybook.judges.pixels import ASIDE, CAP, DOWN, GRID, UP, PixelJudge
from sdxs.storybook.judges.tallies import tally
from sdxs.storybook.world.captions import Caption, Stated, describe
from sdxs.storybook.world.render import render
from sdxs.storybook.world.scenes import COLOURS, HELD_OUT_SEED, THINGS, Scene, Thing, sample_scenes

COUNT = 32
SCENES = sample_scenes(COUNT, HELD_OUT_SEED + 1, unseen="any")


@pytest.fixture(scope="module")
def judge() -> PixelJudge:
    return PixelJudge()


@pytest.fixture(scope="module")
def sight(judge: PixelJudge) -> Sight:
    return judge(render(SCENES).picture)


def caption(things: list[Stated]) -> Caption:
    return Caption("", tuple(things), None, None, None, None)


def shares(sight: Sight, captions: list[Caption]) -> dict[str, float]:
    scores = tally(check(sight, captions)).items()
    return {name: right / count for name, (right, count) in scores if count}


def test_it_sees_what_a_render_holds(sight: Sight) -> None:
    rng = random.Random(0)
    captions = [describe(scene, rng, drop=0.0) for scene in SCENES]
    for name, share in shares(sight, captions).items():
        assert share >= 0.9, name


def test_it_refuses_things_that_are_not_there(sight: Sight) -> None:
    held = [{thing.kind for thing in scene.things} for scene in SCENES]
    captions = [caption([Stated(k, None, None) for k in THINGS if k not in own]) for own in held]
    assert shares(sight, captions)["thing"] <= 0.02


def test_it_refuses_every_other_colour(sight: Sight) -> None:
    for turn in range(1, len(COLOURS)):
        other = {colour: COLOURS[(i + turn) % 8] for i, colour in enumerate(COLOURS)}
        captions = [
            caption([Stated(thing.kind, other[thing.colour], None) for thing in scene.things])
            for scene in SCENES
        ]
        assert shares(sight, captions)["colour"] <= 0.05


@pytest.mark.parametrize(
    ("kind", "colour", "ground"),
    [("cone", "white", "snow"), ("tree", "green", "grass"), ("ball", "blue", "sea")],
)
def test_it_sees_things_that_hardly_differ_from_the_ground(
    judge: PixelJudge, kind: str, colour: str, ground: str
) -> None:
    thing = Thing(kind, colour, "small", 0.4, 0.8, 0.25)
    scenes = [Scene(sky, ground, "alone", (thing,), 0.45, 3) for sky in ("day", "sunset", "night")]
    sight = judge(render(scenes).picture)
    assert shares(sight, [caption([Stated(kind, colour, "small")])] * 3)["attribute_accuracy"] == 1


def test_an_empty_scene_holds_nothing(judge: PixelJudge) -> None:
    empty = [dataclasses.replace(scene, things=()) for scene in SCENES[:8]]
    sight = judge(render(empty).picture)
    assert (sight.present > 0).float().mean() <= 0.02


def test_a_picture_is_judged_alike_alone_and_at_twice_the_resolution(
    judge: PixelJudge, sight: Sight
) -> None:
    picture = render(SCENES[:3]).picture
    large = judge(picture.repeat_interleave(2, -1).repeat_interleave(2, -2))
    for field, all_of_it, alone in zip(large, sight, judge(picture[2:]), strict=True):
        assert torch.allclose(all_of_it[2:3].float(), alone.float(), atol=0.05)
        assert torch.allclose(field[2:].float(), alone.float(), atol=0.05)


def test_a_template_explains_itself_best_where_it_lies(judge: PixelJudge) -> None:
    index = (2 * len(THINGS) + THINGS.index("star")) * len(COLOURS) + COLOURS.index("red")
    template = pixels.templates("day")[index : index + 1]
    y, x = torch.tensor([52]), torch.tensor([30])
    laid = pixels.paste(template, y, x)
    inside = (laid[:, 3:] > 0.99).float()
    backdrop = torch.tensor([0.4, 0.7, 0.3]).view(1, 3, 1, 1)
    grid = laid[:, :3] + (1 - laid[:, 3:]) * backdrop
    strange = pixels.misfit(grid, backdrop.expand_as(grid))[:, None].clamp(max=CAP)
    scene = torch.cat((grid, torch.ones_like(strange), strange), 1)
    patch = scene[:, :, 52 - UP : 52 + DOWN, 30 - ASIDE : 30 + ASIDE]
    hard = torch.cat((template[:, :3], template[:, 3:] * (template[:, 3:] > 0.99)), 1)
    gained = pixels.gain(patch, hard).item()
    assert gained == pytest.approx((inside * strange).sum().item(), rel=1e-4)
    assert gained > 0.9 * CAP * inside.sum()
    assert pixels.gain(patch.roll(3, -1), hard).item() < 0.7 * gained
    used_up = torch.cat((grid, 0 * strange, 0 * strange), 1)
    assert pixels.gain(used_up[:, :, :38, :36], hard).item() == 0
    for off in (-2, 1):  # and it is found again from nearby
        nearby = ((y + off).view(1, 1, 1), (x - off).view(1, 1, 1))
        row, column, _ = pixels.adjust(scene, template[None, None], *nearby)
        assert [int(row), int(column)] == [52, 30]


def test_the_convolution_sums_the_gain_without_its_cap() -> None:
    generator = torch.Generator().manual_seed(0)

    def blocks(channels: int, height: int, width: int) -> torch.Tensor:
        coarse = torch.rand(1, channels, height // 2, width // 2, generator=generator)
        return F.interpolate(coarse, scale_factor=2)

    grid, strange, left = blocks(3, GRID, GRID), blocks(1, GRID, GRID), blocks(1, GRID, GRID)
    colour, alpha = blocks(3, UP + DOWN, 2 * ASIDE), blocks(1, UP + DOWN, 2 * ASIDE).round()
    kernels = pixels.kernels(torch.cat((colour * alpha, alpha), 1))
    summed = F.conv2d(pixels.evidence(grid, strange, left), kernels)
    part = (..., slice(6, 6 + UP + DOWN), slice(4, 4 + 2 * ASIDE))
    gains = alpha * left[part] * (strange[part] - pixels.misfit(grid[part], colour)[:, None])
    assert 4 * summed[0, 0, 3, 2].item() == pytest.approx(gains.sum().item(), rel=1e-4)


def test_two_judges_agree_where_both_are_right(
    judge: PixelJudge, capsys: pytest.CaptureFixture
) -> None:
    rng = random.Random(0)
    captions = [describe(scene, rng) for scene in SCENES[:4]]
    draw = by_renderer(SCENES, 128)

    def blind(picture: torch.Tensor) -> Sight:
        """Sees none of the things."""
        sight = judge(picture)
        return sight._replace(present=torch.full_like(sight.present, -9.0))

    named = sum(len(caption.things) for caption in captions)
    same = pixels.compare(draw, judge, judge, captions, "renders")["thing"]
    assert same["agree"] == 1 and same["evaluator"] == same["pixels"] > 0.8 and same["n"] == named
    apart = pixels.compare(draw, blind, judge, captions, "renders")["thing"]
    assert apart["evaluator"] == 0 and apart["agree"] == pytest.approx(1 - apart["pixels"])
    assert json.dumps(apart) and "agree" in capsys.readouterr().out


def test_it_counts_things(judge: PixelJudge) -> None:
    wanted = torch.tensor([len(scene.things) for scene in SCENES])
    assert (judge.inspect(render(SCENES).picture).things == wanted).float().mean() >= 0.95


@pytest.mark.parametrize("kind", ["ball", "cube", "heart"])
def test_a_thing_in_two_colours_is_seen_to_be_one(judge: PixelJudge, kind: str) -> None:
    red, blue = (
        render([Scene("day", "grass", "alone", (thing,), 0.45, 3)])
        for thing in (Thing(kind, colour, "big", 0.5, 0.8, 0.44) for colour in ("red", "blue"))
    )
    half = red.picture.shape[-1] // 2
    mixed = torch.cat((red.picture[..., :half], blue.picture[..., half:]), -1)
    assert judge.inspect(red.picture).purity > 0.9
    found = judge.inspect(mixed)  # impure, or each half a thing of its own
    assert found.purity < 0.8 or found.things.item() > 1
    assert judge.inspect(red.picture).things.item() == 1


def test_an_empty_scene_has_no_purity(judge: PixelJudge) -> None:
    empty = [Scene("day", "grass", "alone", (), 0.45, 3)]
    found = judge.inspect(render(empty).picture)
    assert found.things.tolist() == [0] and found.purity.isnan().all()
