"""Ids as diffusers makes them, and the words that do not fit."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tiny import WINDOW, seeded_prompts, tiny_tokenizer

from sdxs.model.tokens import PromptReader


@pytest.fixture(scope="module")
def reader() -> PromptReader:
    return PromptReader.of(tiny_tokenizer(), WINDOW)


PROMPTS = [
    "a red house",
    "A  RED\n\nhouse ,  at SUNSET!",
    "zebra",
    "🦊 in the fôrest",
    "a\x00\x1b[31m tree",
    "   ",
    "a red house and a green tree and a blue ball at sunset at night",
    "<|endoftext|> a tree",
    "x" * 500,
]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_ids_are_those_of_diffusers(prompt: str, reader: PromptReader) -> None:
    usual = {"padding": "max_length", "max_length": WINDOW, "truncation": True}
    assert reader.ids([prompt]).tolist() == tiny_tokenizer()([prompt], **usual).input_ids


def test_what_fits_is_not_cut(reader: PromptReader) -> None:
    for prompt in ("a red house", " ", "", "a " * (WINDOW - 2), "a" + " " * 100_000):
        assert reader.cut_off(prompt) == ""


def test_what_does_not_fit_is_named(reader: PromptReader) -> None:
    fits = "a " * (WINDOW - 2)
    assert reader.cut_off(fits + "Red house") == "Red house"
    assert reader.cut_off("a " * (WINDOW - 4) + "zebra  tree") == "zebra  tree"  # a whole word
    assert reader.cut_off("z" * 20) == "z" * (20 - WINDOW + 2)  # one that is too long by itself
    assert reader.cut_off(fits + "\ud83d 🦊") == "? 🦊"


def test_a_hundred_kilobytes_are_quick(reader: PromptReader) -> None:
    for text in ("a red house " * 9_000, "x" * 100_000, "🦊" * 30_000, " " * 99_000 + "tree ball"):
        start = time.perf_counter()
        assert reader.ids([text]).shape == (1, WINDOW)
        rest = reader.cut_off(text)
        assert time.perf_counter() - start < 1
        assert (rest == "") == text.startswith(" ") and text.strip().endswith(rest)


def test_threads(reader: PromptReader) -> None:
    """The library's own call fails with "Already borrowed" here."""
    prompts = seeded_prompts(200)
    wanted = reader.ids(prompts).tolist()

    def wrong(_: int) -> list[str]:
        return [
            prompt
            for prompt, ids in zip(prompts, wanted, strict=True)
            if reader.ids([prompt]).tolist() != [ids] or reader.cut_off(prompt)
        ]

    with ThreadPoolExecutor(4) as pool:
        assert not any(pool.map(wrong, range(4)))


def test_the_window_is_the_smaller_one() -> None:
    assert PromptReader.of(tiny_tokenizer(), 8).length == 8
    assert PromptReader.of(tiny_tokenizer(), 100).length == WINDOW
