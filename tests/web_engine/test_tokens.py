"""The ids of a prompt, and what does not fit of it, as Python has them."""

import json
import random
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from sdxs.tokens import PromptReader
from tests.programs import ROOT
from tests.tiny import WINDOW, WORDS, tiny_tokenizer

READ = """
import { Tokenizer } from "@huggingface/tokenizers";
import { cutOff, PromptReader } from "./engine/tokens.js";
const readers = given.readers.map(
  (each) => new PromptReader(Tokenizer, JSON.parse(each.json), each),
);
const read = (text) => [readers.map((reader) => reader.ids(text)), cutOff(readers, text)];
console.log(JSON.stringify(given.texts.map(read)));
"""
EMBEDDINGS = {"<cat>": 3, "<Dog>": 1, "<many>": 2 * WINDOW, "Straße": 2}
NAMED = ["<cat>", "<CAT>", "<dog>", "<Dog>", "<cat>_1", "house_1", "<many>", "Straße"]
MARKS = ["<|endoftext|>", "<|startoftext|>", "it's", "DON'T", "zebra", "ΟΔΟΣ"]
KINDS = [
    "abcdefghij ABC",
    " \t\n\r\x0b\x0c\x1c\x1f\x85\xa0\u2003\u3000\ufeff\u200b!'(-.,",
    "éèüßİıŁΣσςΟΔΆ ñå'sDLm",
    "".join(map(chr, range(0x4E00, 0x4F00))),
    "".join(map(chr, range(0x300, 0x370))) + "aeiouAEI ",
    "".join(map(chr, range(0x1F300, 0x1F600))) + "\u200d\ufe0f ",
    "".join(map(chr, range(32))),
    "".join(map(chr, range(0xAC00, 0xAC80))) + "".join(map(chr, range(0x1100, 0x1200))),
    "'''sstTreveLLmd d",
    "0123456789½²٣ a.,",
]


def texts(count: int, seed: int = 0) -> list[str]:
    """Words, names of embeddings, marks and letters of many scripts, in any order."""
    rng = random.Random(seed)
    out = []
    for _ in range(count):
        parts = []
        for _ in range(rng.choice([1, 1, 2, 3, 8, 30])):
            word = rng.choice(WORDS + NAMED + MARKS)
            letters = "".join(rng.choices(rng.choice(KINDS), k=rng.randint(1, 12)))
            parts += [rng.choice([word, letters]), rng.choice(["", " ", "  ", ", ", "\n"])]
        out.append("".join(parts))
    odd = ["", " ", "x" * 500, "🦊" * 900, "a red house " * 9000, " " * 9000 + "tree ball"]
    return [*out, *odd, "a\ud83d tree", "\ufeff!!\ufeff(", "a" + " " * 100_000]


def learned() -> PromptReader:
    """A tokenizer with a thousand merges, learned from a document."""
    tokenizer = Tokenizer.from_str(tiny_tokenizer().backend_tokenizer.to_str())
    fresh = Tokenizer(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"))
    fresh.normalizer, fresh.pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=1500, special_tokens=["<|startoftext|>", "<|endoftext|>"], show_progress=False,
        initial_alphabet=letters, end_of_word_suffix="</w>",
    )  # fmt: skip
    fresh.train_from_iterator((ROOT / "docs" / "usage.md").read_text("utf-8").split("\n"), trainer)
    known = json.loads(fresh.to_str())
    whole = {
        **json.loads(tokenizer.to_str()),
        "model": known["model"],
        "added_tokens": known["added_tokens"],
    }
    vocabulary = whole["model"]["vocab"]
    for letter in letters:
        vocabulary.setdefault(f"{letter}</w>", len(vocabulary))
    ends = {"cls": "<|startoftext|>", "sep": "<|endoftext|>"}
    whole["post_processor"] |= {place: [mark, vocabulary[mark]] for place, mark in ends.items()}
    return PromptReader(json.dumps(whole), 1, 77)


def with_embeddings() -> PromptReader:
    tokenizer = tiny_tokenizer()
    for token, count in EMBEDDINGS.items():
        tokenizer.add_tokens([token, *(f"{token}_{number}" for number in range(1, count))])
    return PromptReader.of(tokenizer, WINDOW)


def plain() -> PromptReader:
    return PromptReader.of(tiny_tokenizer(), WINDOW)


@pytest.mark.parametrize("made", [plain, with_embeddings, learned])
def test_ids_and_what_is_cut_off_are_pythons(
    made: Callable[[], PromptReader], node: Callable[..., Any]
) -> None:
    reader, asked = made(), texts(700)
    given = {"json": reader.json, "pad": reader.pad, "length": reader.length}
    found = node(READ, {"readers": [given], "texts": asked})
    for text, ([ids], cut_off) in zip(asked, found, strict=True):
        assert ids == reader.ids([text])[0].tolist(), repr(text)
        if unicodedata.is_normalized("NFC", text):  # else it is where that text has it
            assert cut_off == reader.cut_off(text), repr(text)
    assert sum(bool(cut_off) for _, cut_off in found) > 50


def test_of_two_text_encoders_the_longer_rest_is_said(node: Callable[..., Any]) -> None:
    reader = plain()
    both = [{"json": reader.json, "pad": pad, "length": most} for pad, most in ((5, 8), (6, 12))]
    [[ids, cut_off]] = node(READ, {"readers": both, "texts": ["a red house and " * 3]})
    assert [row.count(pad) for row, pad in zip(ids, (5, 6), strict=True)] == [0, 0]
    assert [len(row) for row in ids] == [8, 12]
    assert cut_off == PromptReader(reader.json, 5, 8).cut_off("a red house and " * 3)
