"""The reward: closed forms, and gradients that point to what the caption says."""

import math

import pytest
import torch

from sdxs.storybook.world.captions import Caption, Stated
from sdxs.storybook.world.scenes import COLOURS, GROUNDS, SIZES, SKIES, THINGS
from sdxs.train.parts import reward
from sdxs.train.parts.reading import Reading

K, SIDE = len(THINGS), 8
BOX, STAR = THINGS.index("cube"), THINGS.index("star")
SURE = 30.0


def caption(*things: Stated, relation=None, place=None, sky=None, ground=None) -> Caption:
    return Caption("", things, sky, ground, relation, place)


def reading(*things: tuple[int, float, float, str], sky="day", ground="grass") -> Reading:
    """Of one picture, one cell for each thing: kind, x and y, colour; all big."""
    kinds = torch.zeros(1, K + 1, SIDE, SIDE)
    kinds[:, -1] = SURE
    colours, sizes = torch.zeros(1, len(COLOURS), SIDE, SIDE), torch.zeros(1, 2, SIDE, SIDE)
    density = torch.zeros(1, K, SIDE, SIDE)
    for kind, x, y, colour in things:
        i, j = int(y * SIDE), int(x * SIDE)
        kinds[0, :, i, j] = 0
        kinds[0, kind, i, j] = SURE
        colours[0, COLOURS.index(colour), i, j] = SURE
        sizes[0, SIZES.index("big"), i, j] = SURE
        density[0, kind, i, j] += 1
    skies = torch.zeros(1, len(SKIES), SIDE, SIDE)
    grounds = torch.zeros(1, len(GROUNDS), SIDE, SIDE)
    skies[:, SKIES.index(sky)] = grounds[:, GROUNDS.index(ground)] = SURE
    return Reading(kinds, colours, sizes, skies, grounds, density)


def losses(seen: Reading, said: Caption) -> dict[str, float]:
    parts = reward.terms(seen, reward.Wanted.of([said]))
    assert parts.keys() == reward.WEIGHTS.keys() - {"held"}
    return {name: part.item() for name, part in parts.items()}


def test_a_picture_that_is_right_costs_nothing() -> None:
    said = caption(
        Stated("cube", "red", "big"), Stated("star", "blue", "big"), relation="left", sky="day",
        ground="grass",
    )  # fmt: skip
    right = losses(reading((BOX, 0.2, 0.8, "red"), (STAR, 0.8, 0.8, "blue")), said)
    assert all(value == pytest.approx(0, abs=2e-2) for value in right.values()), right


@pytest.mark.parametrize(
    ("seen", "wrong"),
    [
        (reading((BOX, 0.5, 0.8, "blue")), "colours"),
        (reading((STAR, 0.5, 0.8, "red")), "present"),
        (reading((BOX, 0.5, 0.8, "red"), (BOX, 0.2, 0.8, "red")), "counts"),
        (reading((BOX, 0.5, 0.8, "red"), (STAR, 0.2, 0.8, "red")), "present"),
        (reading((BOX, 0.5, 0.8, "red"), sky="night"), "sky"),
        (reading((BOX, 0.5, 0.8, "red"), ground="snow"), "ground"),
        (reading((BOX, 0.1, 0.8, "red")), "layout"),
    ],
)
def test_each_mistake_has_its_price(seen: Reading, wrong: str) -> None:
    said = caption(Stated("cube", "red", "big"), place="middle", sky="day", ground="grass")
    assert losses(seen, said)[wrong] > 0.2


def test_counts_are_the_distance_from_what_was_asked_for() -> None:
    seen = reading((BOX, 0.5, 0.8, "red"), (BOX, 0.2, 0.8, "red"), (STAR, 0.8, 0.8, "red"))
    said = caption(Stated("cube", None, None))
    assert losses(seen, said)["counts"] == pytest.approx(1 + 1)


def test_what_is_left_open_costs_its_entropy() -> None:
    said = caption(Stated("cube", None, "big"))
    one = reading((BOX, 0.5, 0.8, "red"))
    two = reading((BOX, 0.5, 0.8, "red"), (BOX, 0.5, 0.5, "blue"))
    assert losses(one, said)["open"] == pytest.approx(0, abs=2e-2)
    assert losses(two, said)["open"] == pytest.approx(math.log(2), abs=2e-2)
    two.skies[:, :, :, SIDE // 2 :] = two.skies.roll(1, 1)[:, :, :, SIDE // 2 :]
    assert losses(two, said)["open"] == pytest.approx(2 * math.log(2), abs=2e-2)
    stated = caption(Stated("cube", "red", "big"), sky="day", ground="grass")
    assert losses(two, stated)["open"] == pytest.approx(0, abs=2e-2)
    assert losses(two, stated)["colours"] == pytest.approx(SURE / 2, rel=1e-2)


def test_what_is_held_costs_where_it_is_not() -> None:
    """Of a box and a star: each is asked for in its own cells, and nowhere if it has none."""
    seen = reading((BOX, 0.2, 0.8, "red"), (STAR, 0.8, 0.8, "red"))
    kinds, cells = torch.tensor([[BOX, STAR]]), torch.zeros(1, 2, SIDE, SIDE)
    assert reward.held(seen, kinds, cells).item() == 0
    cells[0, 0, 6, 1] = cells[0, 1, 6, 6] = 1
    assert reward.held(seen, kinds, cells).item() == pytest.approx(0, abs=1e-4)
    cells[0, 1] = cells[0, 1].roll(-2, 0)  # the star two cells higher
    assert reward.held(seen, kinds, cells).item() == pytest.approx(SURE / 2, rel=1e-3)
    cells[0, 1] = 0
    assert reward.held(seen, kinds, cells).item() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(
    ("relation", "first", "second", "missing"),
    [
        ("left", (0.2, 0.8), (0.8, 0.8), 0),
        ("left", (0.5, 0.8), (0.6, 0.8), 4 * (0.25 - 0.1)),
        ("right", (0.5, 0.8), (0.6, 0.8), 4 * (0.25 + 0.1)),
        ("beside", (0.6, 0.8), (0.5, 0.8), 4 * (0.25 - 0.1)),
        ("beside", (0.2, 0.8), (0.8, 0.6), 8 * (0.2 - 0.06)),
        ("front", (0.5, 0.9), (0.6, 0.65), 0),
        ("front", (0.5, 0.7), (0.6, 0.65), 8 * (0.16 - 0.05)),
        ("behind", (0.5, 0.9), (0.6, 0.65), 8 * (0.16 + 0.25)),
    ],
)
def test_relations_in_closed_form(relation, first, second, missing) -> None:
    where = torch.full((1, K, 2), 0.5)
    where[0, BOX], where[0, STAR] = torch.tensor(first), torch.tensor(second)
    things = Stated("cube", None, None), Stated("star", None, None)
    wanted = reward.Wanted.of([caption(*things, relation=relation)])
    assert reward.layout(where, wanted).item() == pytest.approx(missing, abs=1e-5)


def test_descending_makes_the_reading_right() -> None:
    """From cells that say nothing, a few steps down the loss lead to the caption."""
    torch.manual_seed(0)
    shapes = (K + 1, len(COLOURS), 2, len(SKIES), len(GROUNDS), K)
    leaves = [(0.5 * torch.randn(1, n, SIDE, SIDE)).requires_grad_() for n in shapes]
    said = caption(
        Stated("cube", "red", "small"), Stated("star", None, None), relation="front", sky="night"
    )
    wanted = reward.Wanted.of([said])
    optimizer = torch.optim.Adam(leaves, 0.1)
    for _ in range(300):
        seen = Reading(*leaves[:5], torch.nn.functional.softplus(leaves[5] - 3))
        loss = reward.total(reward.terms(seen, wanted))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    sight = seen.sight()
    assert {BOX, STAR} == set((sight.present[0] > 0).nonzero().flatten().tolist())
    assert sight.colour[0, BOX].argmax() == COLOURS.index("red")
    assert sight.size[0, BOX].argmax() == SIZES.index("small")
    assert sight.sky[0].argmax() == SKIES.index("night")
    assert sight.where[0, BOX, 1] > sight.where[0, STAR, 1] + 0.15
    wanted_counts = torch.zeros(K)
    wanted_counts[[BOX, STAR]] = 1
    torch.testing.assert_close(seen.counts[0], wanted_counts, atol=0.1, rtol=0)


def test_every_part_sends_a_gradient_to_what_it_reads() -> None:
    said = caption(
        Stated("cube", "red", "small"), Stated("star", None, None), relation="behind", sky="night"
    )
    torch.manual_seed(0)
    for name, read_from in {
        "present": ["kinds"], "counts": ["density"], "colours": ["colours"], "sizes": ["sizes"],
        "sky": ["skies"], "layout": ["density"], "open": ["colours", "grounds"],
    }.items():  # fmt: skip
        shapes = (K + 1, len(COLOURS), 2, len(SKIES), len(GROUNDS), K)
        seen = Reading(*(torch.rand(1, count, SIDE, SIDE).requires_grad_() for count in shapes))
        reward.terms(seen, reward.Wanted.of([said]))[name].backward()
        felt = [f for f in Reading._fields if getattr(seen, f).grad is not None]
        felt = [f for f in felt if getattr(seen, f).grad.abs().sum() > 0]
        assert felt == read_from, name
