"""Which words captions are made of: what a text encoder must keep where no grammar says more.

Knows nothing of networks, nor of what words mean.
"""

import random
import re
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from sdxs.train.run.loop import TrainingError

KEPT = 0.7  # chance of a word to be left in a caption of which some go


class Vocabulary:
    """The words of some captions, without case and punctuation. Raises TrainingError for none."""

    def __init__(self, captions: Sequence[str]) -> None:
        self.captions = list(captions)
        self.words = sorted({word for caption in captions for word in words_of(caption)})
        if not self.words:
            raise TrainingError("there is not one word in the captions: say what pictures show")

    @property
    def size(self) -> int:
        return len(self.words)

    def draw(self, count: int, rng: random.Random) -> tuple[list[str], Tensor]:
        """Captions by chance, half of them without some of their words, and their `shares`."""
        texts = [rng.choice(self.captions) for _ in range(count)]
        texts = [fewer(text, rng) if rng.random() < 0.5 else text for text in texts]
        return texts, self.shares(texts)

    def shares(self, texts: Sequence[str]) -> Tensor:
        """(B, words): each of a text's words has the same share of 1."""
        out = torch.zeros(len(texts), self.size)
        for row, text in zip(out, texts, strict=True):
            found = set(words_of(text))
            row[[place for place, word in enumerate(self.words) if word in found]] = 1
        return out / out.sum(1, keepdim=True).clamp(min=1)

    def judge(self, answers: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Cross entropy of logits (B, words) from shares; of how many texts the words are those
        with the highest logits."""
        own = wanted > 0
        lowest = answers.masked_fill(~own, float("inf")).amin(1)
        highest = answers.masked_fill(own, float("-inf")).amax(1)
        return F.cross_entropy(answers, wanted), (lowest > highest).float().mean()

    def test(self) -> tuple[list[str], Tensor]:
        """All captions: all may be heard in training."""
        return self.captions, self.shares(self.captions)


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def fewer(text: str, rng: random.Random) -> str:
    """Without some of its words, but never without all."""
    words = text.split()
    return " ".join(word for word in words if rng.random() < KEPT) or rng.choice(words)
