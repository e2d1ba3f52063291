"""From token ids to what the U-Net reads: one text encoder (SD 1.5, SD 2.1) or two (SDXL).

The functions of diffusers' StableDiffusionPipeline and StableDiffusionXLPipeline `encode_prompt`,
without guidance. Knows nothing of files, tokenizers or U-Nets.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Words(NamedTuple):
    """Prompts as the U-Net reads them.

    states (B, L, D): one vector per token. pooled (B, P): one per prompt; None but for SDXL.
    """

    states: Tensor
    pooled: Tensor | None = None


def embed(encoders: Sequence[Callable[..., Any]], ids: Sequence[Tensor]) -> Words:
    """What one or two text encoders make of token ids (B, L), one tensor for each."""
    if len(encoders) == 1:
        return Words(encoders[0](ids[0])[0])
    outputs = [
        encoder(row, output_hidden_states=True) for encoder, row in zip(encoders, ids, strict=True)
    ]
    states = torch.cat([output.hidden_states[-2] for output in outputs], -1)
    return Words(states, outputs[-1].text_embeds)
