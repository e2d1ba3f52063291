"""What a U-Net is told prompts by: a frozen text encoder (SD) or two (SDXL), and their readers."""

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sdxs.checkpoint.parts import load_text
from sdxs.model.styles import Style
from sdxs.model.text import Words, embed
from sdxs.tokens import PromptReaders
from sdxs.train.parts.lora import merge
from sdxs.train.run import loop
from sdxs.train.run.machine import DEVICE


@dataclass(frozen=True)
class TextEncoders:
    """Networks by the names of their folders, in float32."""

    networks: Mapping[str, Any]
    readers: PromptReaders

    @classmethod
    def load(cls, folder: Path) -> "TextEncoders":
        """Of a checkpoint, or of what a stage left. Raises CheckpointError."""
        networks, readers = load_text(folder)
        return cls({name: each.to(DEVICE) for name, each in networks.items()}, readers)

    def wearing(self, heard: Style) -> "TextEncoders":
        """The same with what a style adds to some of them."""
        networks = dict(self.networks)
        for name, additions in heard.items():
            networks[name] = copy.deepcopy(networks[name])
            merge(networks[name], additions)
        return dataclasses.replace(self, networks=networks)

    @torch.no_grad()
    def embed(self, texts: list[str]) -> Words:
        """What the U-Net reads of B prompts, float32."""
        ids = [row.to(DEVICE) for row in self.readers.ids(texts)]
        states, pooled = embed(list(self.networks.values()), ids)
        return Words(states.float(), None if pooled is None else pooled.float())

    @property
    def fingerprint(self) -> str:
        return " ".join(loop.fingerprint(each) for each in self.networks.values())

    @property
    def width(self) -> int:
        """Of what is `said` of a prompt (`Words.said`)."""
        *_, last = self.networks.values()
        return int(
            last.config.projection_dim if len(self.networks) > 1 else last.config.hidden_size
        )
