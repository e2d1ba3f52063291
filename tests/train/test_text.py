"""What the text encoder is taught to keep."""

import random

import torch

from sdxs.storybook.world.captions import describe
from sdxs.storybook.world.scenes import sample_scenes
from sdxs.train import text


def test_the_text_heads_ask_for_what_a_caption_states():
    rng = random.Random(2)
    captions = [describe(scene, rng) for scene in sample_scenes(50, seed=3)]
    for caption in captions:
        answers = text.stated(caption)
        assert answers["kind 1"] == caption.things[0].kind
        assert (answers["kind 2"] == text.UNSAID) == (len(caption.things) == 1)
        assert answers["relation"] == (caption.relation or text.UNSAID)
    wanted = text.targets(captions)
    assert wanted.shape == (50, len(text.HEADS))
    assert all(row.max() <= len(o) for row, o in zip(wanted.T, text.HEADS.values(), strict=True))


def test_after_end_averages_the_end_and_the_padding_alone():
    ids = torch.tensor([[0, 5, 9, 9], [0, 9, 9, 9]])
    states = torch.arange(8.0).view(2, 4, 1)
    assert text.after_end(ids, states, end=9).flatten().tolist() == [2.5, 6.0]
