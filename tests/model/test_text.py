"""Prompts that were heard before are not encoded again, and give the same embeddings."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sdxs.model.text import KEPT, RememberedWords, Words


class Encoder:
    def __init__(self, pooled: bool) -> None:
        self.rows: list[int] = []
        self.pooled = pooled

    def __call__(self, ids: Sequence[Tensor], styles: dict[str, Tensor]) -> Words:
        self.rows.append(len(ids[0]))
        states = ids[0][..., None].float().expand(-1, -1, 3).clone()
        for scales in styles.values():
            states += scales.view(-1, 1, 1)
        return Words(states, ids[-1].float() if self.pooled else None)


def test_rows_are_encoded_once() -> None:
    encode = Encoder(pooled=True)
    words = RememberedWords(encode)
    ids = [torch.tensor([[1, 2], [3, 4], [1, 2]]), torch.tensor([[5, 6], [7, 8], [5, 6]])]
    first = words(ids, {})
    assert encode.rows == [2] and torch.equal(first.states, Encoder(True)(ids, {}).states)
    assert torch.equal(first.pooled, ids[1].float())
    assert torch.equal(words([row[1:2] for row in ids], {}).states, first.states[1:2])
    assert encode.rows == [2]
    other = [ids[0][:1], torch.tensor([[9, 9]])]  # the second encoder hears something else
    assert words(other, {}).pooled.tolist() == [[9, 9]] and encode.rows == [2, 1]


def test_a_scale_counts_where_it_is_not_zero() -> None:
    encode = Encoder(pooled=False)
    words = RememberedWords(encode)
    ids = [torch.tensor([[1, 2], [1, 2]])]
    both = words(ids, {"ink": torch.tensor([0.5, 0.0])})
    assert encode.rows == [2] and both.pooled is None
    assert (both.states[0] - both.states[1]).unique().tolist() == [0.5]
    plain = words([ids[0][:1]], {})
    assert encode.rows == [2] and torch.equal(plain.states, both.states[1:])
    words([ids[0][:1]], {"ink": torch.tensor([1.0])})
    assert encode.rows == [2, 1]


def test_the_oldest_go() -> None:
    encode = Encoder(pooled=False)
    words = RememberedWords(encode)
    for token in range(KEPT + 1):
        words([torch.tensor([[token]])], {})
        words([torch.tensor([[1]])], {})  # asked for again and again
    asked = len(encode.rows)
    words([torch.tensor([[1]])], {})
    assert len(encode.rows) == asked
    words([torch.tensor([[0]])], {})
    assert len(encode.rows) == asked + 1


def test_what_is_given_back_is_kept_apart() -> None:
    words = RememberedWords(Encoder(pooled=False))
    rows = words([torch.tensor([[1], [2]])], {}).states
    words([torch.tensor([[1]])], {}).states.zero_()
    rows.zero_()
    assert words([torch.tensor([[1], [2]])], {}).states.count_nonzero() == 6
