"""The judge of styles: it tells the renderer and the artists of `world.artists` apart, whatever is
drawn, and says where things are.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdxs.storybook.judges.evaluator import FEATURES, Evaluator, Sight, check, known
from sdxs.storybook.judges.painters import BATCH
from sdxs.storybook.judges.tallies import Found, rounded, tally
from sdxs.storybook.world.artists import ARTISTS, redraw
from sdxs.storybook.world.captions import Caption, described
from sdxs.storybook.world.render import Render, render
from sdxs.storybook.world.scenes import HELD_OUT_SEED

PLAIN = 0  # the number of the renderer itself; those of ARTISTS follow


class StyleJudge(Evaluator):
    """An evaluator that also says which artist drew, and where things are."""

    PART = "hands"

    def __init__(self) -> None:
        super().__init__()
        self.hand = nn.Linear(FEATURES, 1 + len(ARTISTS))
        self.mask = nn.Conv2d(FEATURES, 16, 1)  # of each cell, 4 x 4 finer ones

    def all(self, picture: Tensor) -> tuple[Sight, Tensor, Tensor]:
        """A `Sight`, logits (B, 1 + artists) of the artist, and (B, 1, R / 2, R / 2) of things, R
        at most SIDE."""
        maps = self.body(known(picture))
        return self.read(maps), self.hand(maps.mean((2, 3))), F.pixel_shuffle(self.mask(maps), 4)


@torch.no_grad()
def compare(
    judge: StyleJudge, painted: Iterable[tuple[list[Caption], Tensor, Tensor]], number: int
) -> tuple[list[Found], list[bool], float]:
    """What is seen in pictures, whether artist `number` is in each, and the sum of their IoU.

    painted: captions, their pictures (B, 3, R, R) in [-1, 1], and where things should be, bool
    (B, 1, R / 2, R / 2).
    """
    results: list[Found] = []
    recognised: list[bool] = []
    overlap = 0.0
    for captions, pictures, wanted in painted:
        sight, artist, mask = judge.all(pictures)
        results += check(sight, captions)
        recognised += (artist.argmax(1) == number).tolist()
        overlap += float(iou(mask > 0, wanted).sum())
    return results, recognised, overlap


def of_artists(judge: StyleJudge, count: int, resolution: int) -> dict[str, float]:
    """What the judge gets right of renders by each artist: attributes, the artist, the IoU of
    things."""
    found: dict[str, float] = {}
    scenes, captions = described(count, HELD_OUT_SEED, unseen="any")
    for number, name in enumerate(("plain", *ARTISTS)):
        drawn = (
            (captions[rows], redraw(result, ARTISTS.get(name)), _seen(result))
            for rows in (slice(first, first + BATCH) for first in range(0, count, BATCH))
            for result in [render(scenes[rows], resolution)]
        )
        results, recognised, overlap = compare(judge, drawn, number)
        right, stated = tally(results)["attribute_accuracy"]
        found[f"{name}_attribute_accuracy"] = right / stated
        found[f"{name}_artist"] = sum(recognised) / count
        found[f"{name}_iou"] = overlap / count
    return rounded(found)


def _seen(drawn: Render) -> Tensor:
    """Where a render's things are: bool (B, 1, R / 2, R / 2)."""
    return F.avg_pool2d(drawn.seen.sum(1, keepdim=True), 2) > 0.5


def iou(ours: Tensor, theirs: Tensor) -> Tensor:
    """Intersection over union of masks (B, ...) bool; 1 where both are empty. (B,)"""
    both, either = ((part.flatten(1).sum(1)) for part in (ours & theirs, ours | theirs))
    return torch.where(either > 0, both / either.clamp(min=1), torch.ones_like(both / 1.0))
