"""The named steps from prompts and seeds to pixels, each a function of tensors.

What they compute is the engine's business. Knows nothing of how a checkpoint is found, of safety or
of pictures.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from sdxs.arguments import Row
from sdxs.checkpoint.open import Facts
from sdxs.model.controls import Control
from sdxs.model.engine import Engine
from sdxs.model.isolation import isolated
from sdxs.model.schedule import draw_noise, seeded
from sdxs.model.styles import StyleScales
from sdxs.model.text import RememberedWords, Words
from sdxs.model.walk import blend, slerp

NO_STYLES: StyleScales = {}


class Steps:
    """What `SDXS.__call__` is made of. Immutable; any number of threads may call it."""

    def __init__(
        self, engine: Engine, facts: Facts, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._engine = engine
        self._words = RememberedWords(engine.encode)
        self._readers = facts.readers
        self._text_styles = facts.text_styles
        self.offer = facts.offer
        self._factor = facts.offer.factor
        self.device = device
        self.dtype = dtype

    @isolated()
    def encode(self, prompts: list[str], styles: StyleScales = NO_STYLES) -> Words:
        """Prompts to embeddings: states (B, L, D) and, for the SDXL kind, pooled (B, P). `styles`:
        the LoRA scale of every prompt, (B,), by style. The last prompts are remembered."""
        heard = {name: scales for name, scales in styles.items() if name in self._text_styles}
        return self._words(self._readers.ids(prompts), heard)

    @isolated()
    def noise(
        self,
        generators: Sequence[torch.Generator],
        size: tuple[int, int],
        given: Tensor | None = None,
    ) -> Tensor:
        """Unit noise (B, C, H/8, W/8), row i from generators[i]; drawn on the CPU in float32.

        The same on every device, and what diffusers draws with that generator; or else what is
        `given`. It is then rounded to the model's dtype, so that the U-Net and the step see the
        same numbers.
        """
        width, height = (side // self._factor for side in size)
        if given is None:
            given = draw_noise(generators, (self.offer.channels, height, width))
        return given.detach().to(self.device, self.dtype).float()

    @isolated()
    def denoise(
        self,
        noise: Tensor,
        words: Words,
        generators: Sequence[torch.Generator] | None = None,
        styles: StyleScales = NO_STYLES,
        controls: Sequence[Control] = (),
    ) -> Tensor:
        """Clean latents (B, C, h, w), float32, from unit noise and embeddings.

        One U-Net call and the scheduler's step. `generators` serve schedulers that add noise;
        `styles` as for `encode`.
        """
        return self._engine.denoise(noise, words, styles, controls, generators)

    @isolated()
    def decode(self, latents: Tensor, decoder: str = "tiny") -> Tensor:
        """Images (B, 3, H, W), float32, nominally [-1, 1], from clean latents (B, C, h, w)."""
        return self._engine.decode(latents, decoder)

    @isolated()
    def paint(
        self,
        noise: Tensor,
        words: Words,
        generators: Sequence[torch.Generator] | None = None,
        styles: StyleScales = NO_STYLES,
        controls: Sequence[Control] = (),
        decoder: str = "tiny",
    ) -> Tensor:
        """Pixels (B, H, W, 3), uint8 on the CPU: `denoise` and `decode` at once, clamped and
        rounded. Raises SDXSError where the networks give numbers that are not finite."""
        return self._engine.paint(noise, words, styles, controls, decoder, generators)

    @isolated()
    def on_the_way(
        self,
        rows: Sequence[Row],
        noise: Tensor,
        words: Words,
        generators: list[torch.Generator],
        styles: StyleScales = NO_STYLES,
    ) -> tuple[Tensor, Words, list[torch.Generator]]:
        """Noise (B, C, h, w), embeddings and generators of every row, as far on its way from these
        to those of its `to_prompt` and `to_seed` as its `walk` says.

        A scheduler that adds noise draws it from the seed's generator, at the end of the way from
        the other one's.
        """
        walks = torch.tensor([row.walk for row in rows], dtype=torch.float64)  # (B,)
        others = seeded([row.to_seed or 0 for row in rows])
        there = self.noise(others, (noise.shape[3] * self._factor, noise.shape[2] * self._factor))
        stays = torch.tensor([row.to_seed is None for row in rows], device=noise.device)
        there = noise.where(stays.view(-1, 1, 1, 1), there)  # seed's, or the caller's own latents
        noise = slerp(noise, there, walks).to(self.dtype).float()
        prompts = [row.prompt if row.to_prompt is None else row.to_prompt for row in rows]
        words = blend(words, self.encode(prompts, styles), walks)
        ends = [row.walk == 1 and row.to_seed is not None for row in rows]
        trios = zip(ends, generators, others, strict=True)
        return noise, words, [other if end else own for end, own, other in trios]
