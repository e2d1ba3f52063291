"""The best weights: what the guard counts as right, and that they outlive a resumption."""

import json

import pytest
import torch
from torch import nn

from sdxs.storybook.world.words import UNSEEN_PAIRS
from sdxs.train.parts import best
from sdxs.train.parts.reading import Reader

WORSE = {"seen": 0.5, "unseen": 0.4, "counted": 0.9, "pure": 0.9}
BETTER = {**WORSE, "unseen": 0.6}


def filled(network: nn.Linear, value: float) -> nn.Linear:
    with torch.no_grad():
        network.weight.fill_(value)
    return network


def test_held_out_captions_are_of_seen_and_of_unseen_pairs() -> None:
    for unseen, wanted in (("never", 0), ("always", 20)):
        found = best.held_out(20, unseen)
        assert found == best.held_out(20, unseen)
        named = [{(t.colour, t.kind) for t in caption.things if t.colour} for caption in found]
        assert sum(bool(pairs & UNSEEN_PAIRS) for pairs in named) <= wanted
    assert any({(t.colour, t.kind) for t in c.things} & UNSEEN_PAIRS for c in found)


def test_the_weights_that_were_worth_most_come_back(tmp_path) -> None:
    network = nn.Linear(2, 2)
    kept = best.Best(network, tmp_path)
    for step, found in ((1, WORSE), (2, BETTER), (3, WORSE)):
        filled(network, step)
        kept.look(step, found)
    again = best.Best(nn.Linear(2, 2), tmp_path)
    again.load_state_dict(kept.state_dict())
    filled(again.network, 9)
    again.look(4, WORSE)
    again.settle()
    assert again.step == 2 and (again.network.weight == 2).all()
    told = [json.loads(line) for line in (tmp_path / best.LOG).read_text().splitlines()]
    assert [row["best"] for row in told] == [1, 2, 2, 2] and told[1]["unseen"] == 0.6


@pytest.mark.parametrize("name", ["seen", "unseen", "counted"])
def test_more_is_worth_more(name) -> None:
    assert best.worth({**WORSE, name: 0.95}) > best.worth(WORSE)
    assert best.worth({**WORSE, "pure": 0.95}) == best.worth(WORSE)


def test_a_guard_finds_nothing_right_in_noise() -> None:
    torch.manual_seed(0)
    asked = []

    def paint(texts: list[str], noise: torch.Tensor) -> torch.Tensor:
        asked.extend(texts)
        return noise

    found = best.guarded(paint, Reader(16).eval(), 6, 8)
    assert found["seen"] == found["unseen"] == 0
    assert len(asked) == 12 and all(asked)
