"""Pairs are the same again."""

import pytest

from sdxs.storybook.world.words import UNSEEN_PAIRS, WORDS
from sdxs.train.parts import pairs
from sdxs.train.run import loop


def test_pairs_are_made_again_bit_for_bit_and_never_of_unseen_colours(tmp_path):
    assert pairs.prompts_of(3, 7) == pairs.prompts_of(3, 7) != pairs.prompts_of(3, 8)
    texts = "\n".join(text for chunk in range(40) for text in pairs.prompts_of(3, chunk))
    for colour, kind in UNSEEN_PAIRS:
        assert not [w for w in WORDS["things"][kind] if f"{colour} {w}" in texts]
    with pytest.raises(loop.TrainingError, match=r"run python -m sdxs\.train\.pairs"):
        pairs.Pairs(tmp_path)
