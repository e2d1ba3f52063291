"""From a prompt to the ids that the text encoder reads, and to the words that do not fit.

Knows nothing of networks. Gives the ids that diffusers' StableDiffusionPipeline gives, from any
number of threads at once: the tokenizer's own call changes its padding state, so ours is done here.
"""

import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from sdxs.arguments import encodable
from sdxs.errors import PromptCutWarning, one_line

if TYPE_CHECKING:
    from torch import Tensor

LONGEST_TOKEN = 64  # characters; text beyond this many per place of the window is never read


class PromptReader:
    """A CLIP tokenizer as JSON of `tokenizers`, the id that it pads with, and `length`, the window
    of the text encoder."""

    def __init__(self, tokenizer: str, pad: int, length: int) -> None:
        self.length, self.pad = length, pad
        self._tokenizer = Tokenizer.from_str(tokenizer)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._vectors = _vectors(self._tokenizer, length)

    @classmethod
    def of(cls, tokenizer: Any, positions: int) -> "PromptReader":
        """Of a `transformers.CLIPTokenizer`; the window is the smaller of what its config and the
        encoder's positions allow."""
        length = min(int(tokenizer.model_max_length), positions)
        return cls(tokenizer.backend_tokenizer.to_str(), tokenizer.pad_token_id, length)

    @property
    def json(self) -> str:
        return self._tokenizer.to_str()

    def rows(self, prompts: Sequence[str]) -> list[list[int]]:
        """(B, L) token ids: start, as many tokens as fit, end, padding."""
        rows = []
        for prompt in prompts:
            ids = self._tokenizer.encode(self._expanded(self._readable(prompt))).ids
            if len(ids) > self.length:
                ids = ids[: self.length - 1] + ids[-1:]
            rows.append(ids + [self.pad] * (self.length - len(ids)))
        return rows

    def ids(self, prompts: Sequence[str]) -> "Tensor":
        """The rows as a tensor."""
        import torch  # without it rows will do

        return torch.tensor(self.rows(prompts))

    def cut_off(self, prompt: str) -> str:
        """The end of the prompt that does not fit, from the start of a word; "" if all fits."""
        text = encodable(prompt)
        readable = self._readable(prompt)
        if not text.startswith(readable):  # white space was shortened to read on
            text = squeeze(text)
        expanded = self._expanded(readable)
        encoding = self._tokenizer.encode(expanded)
        if len(encoding.ids) <= self.length:
            return text[len(readable) :].strip()
        first = lost = self.length - 1  # the place that the end mark takes
        words = encoding.word_ids
        while first > 1 and words[first - 1] == words[lost]:
            first -= 1
        first = first if first > 1 else lost  # one endless word: name the part that is lost
        rest = expanded[encoding.offsets[first][0] :] + text[len(readable) :]
        for token, all_of_it in self._vectors.items():
            rest = rest.replace(all_of_it, token)
        return rest.strip()

    def _readable(self, prompt: str) -> str:
        """The beginning of a prompt: enough to fill the window, little enough to be quick."""
        most = LONGEST_TOKEN * self.length
        text = encodable(prompt)
        return text if len(text) <= most else squeeze(text)[:most]

    def _expanded(self, text: str) -> str:
        """With all tokens of an embedding of several vectors where its first one is named, as
        diffusers' `maybe_convert_prompt` has them."""
        if not self._vectors:
            return text
        for token in dict.fromkeys(self._tokenizer.encode(text, add_special_tokens=False).tokens):
            if token in self._vectors:  # in the order of the text; diffusers has none
                text = text.replace(token, self._vectors[token])
                text = text[: LONGEST_TOKEN * self.length]  # they may hold one another
        return text


def _vectors(tokenizer: Tokenizer, most: int) -> dict[str, str]:
    """Embeddings of several vectors (textual inversion, arXiv 2208.01618), of which diffusers adds
    one token each: "<cat>" -> "<cat> <cat>_1 <cat>_2"; of each no more than `most` can be read."""
    added = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    found = {}
    for token in added:
        names = [token]
        while len(names) < most and f"{token}_{len(names)}" in added:
            names.append(f"{token}_{len(names)}")
        if len(names) > 1:
            found[token] = " ".join(names)
    return found


class PromptReaders:
    """The readers of a checkpoint's text encoders, one each; their windows are of one length."""

    def __init__(self, readers: Sequence[PromptReader]) -> None:
        self.readers = readers
        self.length = readers[0].length

    def rows(self, prompts: Sequence[str]) -> list[list[list[int]]]:
        """Token ids (B, L), rows for each text encoder."""
        return [reader.rows(prompts) for reader in self.readers]

    def ids(self, prompts: Sequence[str]) -> "list[Tensor]":
        """Token ids (B, L), one tensor for each text encoder."""
        return [reader.ids(prompts) for reader in self.readers]

    def cut_off(self, prompt: str) -> str:
        """The end of a prompt that does not fit into the window; "" if all fits."""
        return max((reader.cut_off(prompt) for reader in self.readers), key=len)

    def warn_cut_off(self, prompts: Sequence[str]) -> None:
        """Warn, on behalf of the caller's caller, of what is cut off of each of the prompts."""
        for prompt in dict.fromkeys(prompts):
            if rest := self.cut_off(prompt):
                message = (
                    f"the prompt is longer than the {self.length} tokens that the text "
                    f"encoder reads; not seen: {one_line(rest, 80)!r}"
                )
                rows = [row for row, other in enumerate(prompts) if other == prompt]
                # with the step of `isolated` in between
                warnings.warn(PromptCutWarning(message, rows), stacklevel=4)


def squeeze(text: str) -> str:
    """Runs of white space as one space each, which is how the tokenizer reads them."""
    return re.sub(r"\s+", " ", text)
