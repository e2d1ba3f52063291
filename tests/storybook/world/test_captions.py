"""Captions: what they state, their words, and the tokens of these."""

import random
import re

from sdxs.checkpoint.find import weights_folder
from sdxs.checkpoint.open import WORDS as FILE
from sdxs.checkpoint.words import read_words
from sdxs.config import CHECKPOINTS
from sdxs.storybook.judges.evaluator import relation
from sdxs.storybook.world import captions
from sdxs.storybook.world.tokenizer import LENGTH, build_tokenizer, learn_tokenizer
from sdxs.storybook.world.words import UNSEEN_PAIRS, WORDS, phrases


def test_captions_state_what_the_scene_holds():
    for scene, caption in zip(*captions.described(500, seed=6), strict=True):
        assert caption.sky in (None, scene.sky) and caption.ground in (None, scene.ground)
        held = {t.kind: t for t in scene.things}
        assert {t.kind for t in caption.things} == set(held)
        for stated in caption.things:
            assert stated.colour in (None, held[stated.kind].colour)
            assert stated.size in (None, held[stated.kind].size)
            assert stated.colour is None or stated.colour in caption.text
        if caption.relation is not None:
            first, second = (held[t.kind] for t in caption.things)
            seen = relation((first.x, first.y), (second.x, second.y))
            beside = caption.relation == "beside" and seen in ("left", "right")
            assert seen == caption.relation or beside


def test_every_phrase_of_the_vocabulary_occurs_in_captions():
    text = "\n".join(caption.text for caption in captions.described(3000, seed=7)[1])
    for entries in WORDS.values():
        for said in entries.values():
            assert all(re.search(rf"\b{phrase}\b", text) for phrase in said)


def test_the_frozen_files_hold_a_thousand_captions_of_seen_pairs_and_others_apart():
    assert [len(captions.frozen_captions(name)) for name in ("seen", "unseen")] == [1000, 250]
    for name in captions.FROZEN:
        for caption in captions.frozen_captions(name):
            pairs = {(t.colour, t.kind) for t in caption.things}
            assert bool(pairs & UNSEEN_PAIRS) is (name == "unseen")


def test_the_frozen_files_can_be_made_again(tmp_path):
    for path, count, seed, unseen in captions.FROZEN.values():
        captions.write_frozen(tmp_path / path.name, count, seed, unseen)
        assert (tmp_path / path.name).read_text() == path.read_text()


def test_the_embedded_checkpoint_states_the_vocabulary():
    assert read_words(weights_folder("storybook") / FILE) == phrases()
    assert list(read_words(weights_folder("storybook") / FILE)) == list(WORDS)


def test_examples_shown_to_people_avoid_the_unseen_pairs():
    for example in CHECKPOINTS["storybook"].examples:
        for colour, kind in UNSEEN_PAIRS:
            assert f"{colour} {kind}" not in example


def test_the_tokenizer_is_the_same_each_time_and_holds_every_caption():
    tokenizer = build_tokenizer()
    assert tokenizer.get_vocab() == build_tokenizer().get_vocab()
    longest = max(len(tokenizer(c.text).input_ids) for c in captions.frozen_captions())
    assert longest <= LENGTH - 4
    for word in ("house", "mushroom", "sunset"):
        assert len(tokenizer.tokenize(word)) == 1
    assert tokenizer("ünknown \U0001f600").input_ids[-1] == tokenizer.eos_token_id


def test_a_few_texts_give_the_same_tokenizer_each_time():
    """Pairs that are as frequent as one another are merged in one order."""
    texts = [
        "a small ship behind a small pink mushroom in a meadow",
        "a little flower to the left of a big mushroom in winter by day",
        "big pink ship in the middle in the desert in daylight",
    ]
    merges = {str(learn_tokenizer(texts).backend_tokenizer.to_str()) for _ in range(20)}
    assert len(merges) == 1


def test_as_typed_changes_few_captions():
    rng = random.Random(1)
    plain = "a red house at night"
    changed = sum(captions.as_typed(plain, rng) != plain for _ in range(2000))
    assert 0.05 < changed / 2000 < 0.2
