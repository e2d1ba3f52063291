"""Every network once, so that what cannot work on a device fails at load.

What is tried then is the business of `remedies`.
"""

import torch
from torch import Tensor

from sdxs.arguments import Offer
from sdxs.model.controls import Control
from sdxs.model.engine import Engine
from sdxs.model.safety import SafetyChecker
from sdxs.model.schedule import seeded
from sdxs.picture import check_finite


@torch.no_grad()
def try_networks(
    engine: Engine,
    ids: list[Tensor],
    noise: Tensor,
    offer: Offer,
    dtype: torch.dtype,
    checker: SafetyChecker | None,
) -> None:
    """ids: a prompt's, (1, L) for each text encoder. noise (1, C, h, w). dtype: what is
    blamed. Raises NotFiniteError, and whatever a device raises."""
    width, height = offer.size
    generators = seeded([0])
    words = engine.encode(ids, {})
    image = torch.zeros(1, 3, height, width)
    controls = [[Control(name, None, image, torch.ones(1))] for name in offer.controls]
    for followed in ([], *controls):
        clean = engine.denoise(noise, words, {}, followed, generators)
        check_finite(clean, dtype)
    for decoder in offer.decoders:
        images = engine.decode(clean, decoder)
        check_finite(images, dtype)
        if checker:
            checker.flags(images)
