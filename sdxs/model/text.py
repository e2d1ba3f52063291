"""From prompts to what the U-Net reads: one text encoder (SD 1.5, SD 2.1) or two (SDXL).

The functions of diffusers' StableDiffusionPipeline and StableDiffusionXLPipeline `encode_prompt`,
without guidance. Knows nothing of files or U-Nets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sdxs.model.tokens import PromptReader


class Words(NamedTuple):
    """Prompts as the U-Net reads them.

    states (B, L, D): one vector per token. pooled (B, P): one per prompt; None but for SDXL.
    """

    states: Tensor
    pooled: Tensor | None = None


@dataclass(frozen=True)
class TextEncoder:
    """A text encoder and the reader of its tokenizer."""

    network: Any
    reader: PromptReader


class TextEncoders:
    """The text encoders of a checkpoint, by the name of their folder."""

    def __init__(self, encoders: dict[str, TextEncoder]) -> None:
        self.networks = {name: encoder.network for name, encoder in encoders.items()}
        self.readers = [encoder.reader for encoder in encoders.values()]
        self.length = self.readers[0].length

    def __call__(self, prompts: Sequence[str], device: torch.device) -> Words:
        networks = list(self.networks.values())
        ids = [reader.ids(list(prompts)).to(device) for reader in self.readers]  # (B, L) each
        if len(networks) == 1:
            return Words(networks[0](ids[0])[0])
        outputs = [
            network(row, output_hidden_states=True)
            for network, row in zip(networks, ids, strict=True)
        ]
        states = torch.cat([output.hidden_states[-2] for output in outputs], -1)
        return Words(states, outputs[-1].text_embeds)

    def cut_off(self, prompt: str) -> str:
        """The end of a prompt that does not fit into the window; "" if all fits."""
        return max((reader.cut_off(prompt) for reader in self.readers), key=len)
