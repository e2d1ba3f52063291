"""From token ids to what the U-Net reads: one text encoder (SD 1.5, SD 2.1) or two (SDXL).

The functions of diffusers' StableDiffusionPipeline and StableDiffusionXLPipeline `encode_prompt`,
without guidance. Knows nothing of files, tokenizers or U-Nets.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

KEPT = 64  # prompts


class Words(NamedTuple):
    """Prompts as the U-Net reads them.

    states (B, L, D): one vector per token. pooled (B, P): one per prompt; None but for SDXL.
    """

    states: Tensor
    pooled: Tensor | None = None

    @classmethod
    def joined(cls, parts: "Sequence[Words]") -> "Words":
        """The prompts of all parts, in order."""
        pooled = [part.pooled for part in parts if part.pooled is not None]
        return cls(
            torch.cat([part.states for part in parts]), torch.cat(pooled) if pooled else None
        )

    def rows(self, which: slice | Tensor) -> "Words":
        """Some of the prompts."""
        return Words(self.states[which], None if self.pooled is None else self.pooled[which])

    def repeated(self, count: int) -> "Words":
        """Of one prompt, so many."""
        states, pooled = self
        return Words(
            states.expand(count, -1, -1), None if pooled is None else pooled.expand(count, -1)
        )

    @property
    def said(self) -> Tensor:
        """One vector of each prompt, (B, P): what is pooled, or the last of its states."""
        return self.states[:, -1] if self.pooled is None else self.pooled


def embed(encoders: Sequence[Callable[..., Any]], ids: Sequence[Tensor]) -> Words:
    """What one or two text encoders make of token ids (B, L), one tensor for each."""
    if len(encoders) == 1:
        return Words(encoders[0](ids[0])[0])
    outputs = [
        encoder(row, output_hidden_states=True) for encoder, row in zip(encoders, ids, strict=True)
    ]
    states = torch.cat([output.hidden_states[-2] for output in outputs], -1)
    return Words(states, outputs[-1].text_embeds)


class RememberedWords:
    """What `encode` makes of prompts, of which it keeps the last ones. Any number of threads may
    call it.

    encode: token ids (B, L), one tensor for each text encoder, and the LoRA scale of every row,
    (B,), by style, to `Words`, row by row.
    """

    def __init__(self, encode: Callable[..., Words]) -> None:
        self._encode = encode
        self._kept: OrderedDict[Any, Words] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, ids: Sequence[Tensor], styles: Mapping[str, Tensor]) -> Words:
        keys = [
            (
                tuple(tuple(of_encoder[row].tolist()) for of_encoder in ids),
                tuple((name, float(scales[row])) for name, scales in styles.items() if scales[row]),
            )
            for row in range(len(ids[0]))
        ]
        with self._lock:
            found = {key: self._kept[key] for key in keys if key in self._kept}
        new = {key: row for row, key in enumerate(keys) if key not in found}
        if new:
            rows = torch.tensor(list(new.values()))
            scales = {name: of_rows[rows] for name, of_rows in styles.items()}
            words = self._encode([of_encoder[rows] for of_encoder in ids], scales)
            found |= {key: _row(words, place) for place, key in enumerate(new)}
        with self._lock:
            for key in keys:
                self._kept[key] = found[key]
                self._kept.move_to_end(key)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return Words.joined([found[key] for key in keys])


def _row(words: Words, place: int) -> Words:
    states, pooled = words.rows(slice(place, place + 1))
    return Words(states.clone(), None if pooled is None else pooled.clone())  # let go of the others
