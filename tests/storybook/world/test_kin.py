"""Words of the wider world lead to words of this one."""

from itertools import chain

from sdxs.checkpoint.find import weights_folder
from sdxs.checkpoint.open import DICTIONARY
from sdxs.checkpoint.words import read_dictionary
from sdxs.sources import Dictionary
from sdxs.storybook.world.kin import KIN, OTHERS, fillers, near
from sdxs.storybook.world.words import phrases

KNOWN = {word for phrase in chain(*phrases().values()) for word in phrase.split()} | {*fillers()}


def test_the_embedded_checkpoint_has_them():
    assert read_dictionary(weights_folder("storybook") / DICTIONARY) == Dictionary(
        fillers(), near()
    )


def test_each_leads_to_words_that_captions_have_or_to_nothing():
    assert set(KIN) <= KNOWN
    assert set(chain(*near().values())) <= KNOWN
    assert all(near()[word] == [] for word in OTHERS.split())


def test_no_known_word_has_kin_but_those_that_need_their_phrase():
    assert {*near()} & KNOWN == {"by", "under"}


def test_no_word_stands_twice_in_a_row():
    for others in KIN.values():
        assert len(others.split()) == len({*others.split()}), others
