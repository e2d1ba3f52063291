"""Who paints what is judged: a model, or the renderer itself; captions in batches, always the same.

The seed of a caption is its number, so that the same request gives the same picture every time.
"""

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor
from tqdm import tqdm

from sdxs.pipeline import SDXS
from sdxs.storybook.world.captions import Caption
from sdxs.storybook.world.render import render
from sdxs.storybook.world.scenes import Scene

BATCH = 25
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)  # at which styles and controls are looked at
Painter = Callable[[list[str], list[int]], Tensor]  # prompts, seeds -> (B, 3, R, R) in [-1, 1]


def by_model(model: SDXS, **options: Any) -> Painter:
    """A model, with options of its call that are the same for every prompt."""
    return lambda prompts, seeds: model(prompts, seed=seeds, output_type="pt", **options)


def by_renderer(scenes: list[Scene], resolution: int) -> Painter:
    """True pictures, whatever the prompts: seed n asks for scene n."""
    return lambda prompts, seeds: render([scenes[seed] for seed in seeds], resolution).picture


def painted(
    paint: Painter, captions: list[Caption], title: str
) -> Iterator[tuple[list[Caption], Tensor]]:
    """Captions and their pictures (B, 3, R, R) in [-1, 1], BATCH at a time."""
    for i in tqdm(range(0, len(captions), BATCH), desc=title, dynamic_ncols=True, mininterval=2):
        some = captions[i : i + BATCH]
        pictures = paint([caption.text for caption in some], list(range(i, i + len(some))))
        yield some, pictures.float().cpu().clamp(-1, 1)
