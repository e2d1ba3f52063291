"""Byte-pair tokenizers of the storybook's words, or of others, in the format of CLIP's."""

import json
import random
from collections.abc import Sequence

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from sdxs.storybook.world.captions import FILLERS, describe
from sdxs.storybook.world.scenes import sample_scenes

LENGTH = 32  # tokens, the start and the end included
VOCABULARY = 1024


def build_tokenizer(seed: int = 0) -> CLIPTokenizer:
    """Learn the merges from the storybook's captions. The same seed gives the same tokenizer."""
    rng = random.Random(seed)
    texts = [describe(scene, rng).text for scene in sample_scenes(5000, seed)]
    return learn_tokenizer([*texts, *list(FILLERS) * 20])


def learn_tokenizer(texts: Sequence[str]) -> CLIPTokenizer:
    """Learn the merges from texts. The same ones give the same tokenizer."""
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer = normalizers.Lowercase()
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    ends = [letter + "</w>" for letter in alphabet]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 2,
        initial_alphabet=alphabet,
        special_tokens=[AddedToken(end, special=True) for end in ends],  # else in no fixed order
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    # CLIP's order: bytes, bytes that end a word, merges, the two marks
    words = alphabet + ends
    words += [left + right for left, right in merges if left + right not in set(words)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {word: index for index, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=LENGTH)
