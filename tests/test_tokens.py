"""Ids as diffusers makes them, and the words that do not fit."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from theirs import pipeline_of
from tiny import WINDOW, build_checkpoint, seeded_prompts, tiny_tokenizer

from sdxs.checkpoint.parts import load_parts
from sdxs.model.text import embed
from sdxs.tokens import PromptReader


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


def with_embeddings(vectors: dict[str, int]) -> Any:
    """The tiny tokenizer with the tokens that diffusers adds for embeddings of so many vectors."""
    tokenizer = tiny_tokenizer()
    for token, count in vectors.items():
        tokenizer.add_tokens([token, *(f"{token}_{number}" for number in range(1, count))])
    return tokenizer


@pytest.mark.parametrize(
    "prompt",
    [
        "a <cat> at night",
        "a<cat>house, <CAT> <dog> <Dog>",
        "<dog>",
        "<cat>_1 alone",
        "<cat> " * WINDOW,
        "red <many> tree",
        "a red house",
        "house_1 house",
    ],
)
def test_embeddings_of_several_vectors(prompt: str) -> None:
    """Each vector is read where the first one is named (textual inversion)."""
    from diffusers.loaders import TextualInversionLoaderMixin

    tokenizer = with_embeddings({"<cat>": 3, "<Dog>": 1, "<many>": 2 * WINDOW})
    reader = PromptReader.of(tokenizer, WINDOW)
    usual = {"padding": "max_length", "max_length": WINDOW, "truncation": True}
    theirs = TextualInversionLoaderMixin().maybe_convert_prompt(prompt, tokenizer)
    assert reader.ids([prompt]).tolist() == tokenizer([theirs], **usual).input_ids
    assert (
        PromptReader(reader.json, reader.pad, reader.length)
        .ids([prompt])
        .equal(reader.ids([prompt]))
    )


def test_what_is_cut_off_is_said_as_it_was_written() -> None:
    reader = PromptReader.of(with_embeddings({"<cat>": 3}), WINDOW)
    fits = "a " * (WINDOW - 5) + "<cat>"
    assert reader.cut_off(fits) == ""
    assert reader.cut_off(fits + " red <cat> house") == "red <cat> house"
    assert reader.cut_off("a " + fits) == "<cat>_2"  # its last vector


def test_embeddings_that_hold_one_another_stay_short() -> None:
    """A tokenizer may claim so; each would be many times the one before."""
    nested = {"<a>" + "_1" * depth: WINDOW for depth in range(6)}
    reader = PromptReader.of(with_embeddings(nested), WINDOW)
    start = time.perf_counter()
    text = " ".join(nested) * 100
    assert reader.ids([text]).shape == (1, WINDOW) and reader.cut_off(text)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("kind", ["sd15", "sdxl"])
def test_a_checkpoint_with_embeddings(kind: str, tmp_path: Path) -> None:
    """As diffusers saves a pipeline after `load_textual_inversion`."""
    pipeline = pipeline_of(build_checkpoint(tmp_path / "plain", kind=kind), dtype=torch.float32)
    torch.manual_seed(0)
    for end, width in [("", 32), ("_2", 48)][: 2 if kind == "sdxl" else 1]:
        parts = {part: getattr(pipeline, part + end) for part in ("tokenizer", "text_encoder")}
        for token, count in {"<cat>": 3, "<dog>": 1}.items():
            pipeline.load_textual_inversion(torch.randn(count, width), token=token, **parts)
    pipeline.save_pretrained(tmp_path / "it")
    networks, readers, _ = load_parts(tmp_path / "it", torch.float32)
    prompts = ["a <cat> at night", "<dog> and <cat>", "a red house"]
    with torch.no_grad():
        ours = embed(list(networks.text_encoders.values()), readers.ids(prompts))
        options = {
            "device": "cpu",
            "num_images_per_prompt": 1,
            "do_classifier_free_guidance": False,
        }
        theirs = pipeline.encode_prompt(prompts, **options)
    assert (ours.states - theirs[0]).abs().max() < 1e-4
    if ours.pooled is not None:
        assert (ours.pooled - theirs[2]).abs().max() < 1e-4
    rows = ours.states.flatten(1)
    assert (rows[0] - rows[1]).abs().max() > 0.1 < (rows[0] - rows[2]).abs().max()
    other = embed(list(networks.text_encoders.values()), readers.ids(["a <cat>_1 at night"]))
    assert (other.states - ours.states[:1]).abs().max() > 0.1
