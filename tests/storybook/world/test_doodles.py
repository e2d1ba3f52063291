"""Drawings as people begin them: frozen, within the page, each thing where its row says."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from sdxs.storybook import doodled
from sdxs.storybook.judges.evaluator import Sight
from sdxs.storybook.world.doodles import FROZEN, LINES, Doodle, Doodled, doodles, draw, write_frozen
from sdxs.storybook.world.scenes import COLOURS, THINGS
from sdxs.storybook.world.words import UNSEEN_PAIRS


def test_the_sixty_are_those_of_the_file_that_ships(tmp_path: Path) -> None:
    write_frozen(tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_text() == FROZEN.read_text()
    every = doodles()
    assert len(every) == 60 and {t.kind for d in every for t in d.things} == set(THINGS)
    assert not {(t.colour, t.kind) for d in every for t in d.things} & UNSEEN_PAIRS
    for doodle in every:
        stated = [(thing.colour, thing.kind) for thing in doodle.things]
        assert [(thing.colour, thing.kind) for thing in doodle.caption.things] == stated


@pytest.mark.parametrize("kind", THINGS)
def test_a_thing_stands_where_its_row_says(kind: str) -> None:
    assert len(LINES) == len(THINGS)
    doodle = Doodle("", (Doodled(kind, "red", 0.5, 0.8, 0.4),), None, 0.01)
    page = np.asarray(draw(doodle, 200))[..., 0]
    rows, columns = np.nonzero(page < 128)
    assert rows.max() == pytest.approx(160, abs=3) and rows.min() == pytest.approx(80, abs=12)
    assert (columns.min() + columns.max()) / 2 == pytest.approx(100, abs=4)


def test_a_horizon_is_a_line_across() -> None:
    page = np.asarray(draw(Doodle("", (), 0.25, 0.02), 100))[..., 0]
    assert (page[24:26] <= 128).all() and (page[:20] == 255).all() and (page[30:] == 255).all()


def perfect(some: list[Doodle]) -> Sight:
    """What a judge sees in pictures that keep to the drawings."""
    count, kinds = len(some), len(THINGS)
    present, where = -torch.ones(count, kinds), torch.zeros(count, kinds, 2)
    colour = torch.zeros(count, kinds, len(COLOURS))
    for row, doodle in enumerate(some):
        for thing in doodle.things:
            kind = THINGS.index(thing.kind)
            present[row, kind] = 1
            colour[row, kind] = one_hot(torch.tensor(COLOURS.index(thing.colour)), len(COLOURS))
            where[row, kind] = torch.tensor([thing.x, thing.y])
    none = torch.zeros(count, 1)
    return Sight(present, colour, none, where, none, none, none)


def test_what_is_found_of_a_drawing() -> None:
    some = doodles()
    sight = perfect(some)
    assert all(all(row) for row in doodled.found(sight, some))
    shifted = doodled.found(sight._replace(where=sight.where + 0.11), some)
    assert set(shifted) == {(True, True, False)}
    recoloured = doodled.found(sight._replace(colour=sight.colour.roll(1, -1)), some)
    assert set(recoloured) == {(True, False, False)}
    gone = doodled.found(sight._replace(present=-sight.present), some)
    assert set(gone) == {(False, False, False)}


def test_every_drawing_is_painted_under_the_control() -> None:
    asked = []

    class Model:
        size = (64, 64)

        def condition(self, name: str, picture: object) -> str:
            return f"{name} of {picture.size}"

        def __call__(self, prompts: list[str], **how: object) -> torch.Tensor:
            asked.append((prompts, how))
            return torch.zeros(len(prompts), 3, 64, 64)

    scores = doodled.measure(Model(), style="it")
    assert scores["thing"]["n"] == sum(len(doodle.things) for doodle in doodles())
    assert [len(prompts) for prompts, _ in asked] == [25, 25, 10]
    assert asked[0][1]["control_image"][0] == "sketch of (128, 128)"
    assert asked[0][1]["style"] == "it" and asked[1][1]["seed"][0] == 25
