"""Score a style of the storybook world: python -m sdxs.storybook.styled --style anime

Of 1,000 captions, painted at several strengths of the style: in how many its artist is recognised,
attribute and caption accuracy, and how much of what the same seed gives without the style stays in
its place (intersection over union of where things are). Shares with their 95 % interval.
"""

from typing import Any

import torch

from sdxs.errors import InputError
from sdxs.pipeline import SDXS
from sdxs.storybook import command
from sdxs.storybook.judges.painters import STRENGTHS, by_model, painted
from sdxs.storybook.judges.styles import StyleJudge, compare
from sdxs.storybook.judges.tallies import ACCURACIES, share, tally
from sdxs.storybook.world.artists import ARTISTS
from sdxs.storybook.world.captions import frozen_captions


@torch.no_grad()
def measure(model: SDXS, style: str, artist: str, count: int) -> dict[str, dict[str, Any]]:
    """Scores of a loaded style, which is to be recognised as the artist's, on the first `count`
    frozen captions, by strength."""
    judge = StyleJudge.load()
    number, captions = 1 + list(ARTISTS).index(artist), frozen_captions()[:count]
    plain = [
        judge.all(pictures)[2] > 0 for _, pictures in painted(by_model(model), captions, "plain")
    ]
    scores = {}
    for strength in STRENGTHS:
        paint = by_model(model, style=style, style_scale=strength)
        batches = painted(paint, captions, f"{style} {strength:g}")
        shown = ((*batch, wanted) for batch, wanted in zip(batches, plain, strict=True))
        results, recognised, overlap = compare(judge, shown, number)
        scores[f"{strength:g}"] = {
            "recognised": share(recognised, count),
            **{name: share(*tally(results)[name]) for name in ACCURACIES},
            "iou": round(overlap / count, 4),
        }
    return scores


@command.told
def main(arguments: list[str] | None = None) -> None:
    parser = command.parser("styled", __doc__)
    add = parser.add_argument
    add("--style", required=True, help="a name under weights/styles/, a file or a folder")
    add("--artist", choices=ARTISTS, help="whose style it is to be (default: its name)")
    add("--count", **command.CAPTIONS)
    options = parser.parse_args(arguments)
    artist = options.artist or options.style
    if artist not in ARTISTS:
        raise InputError(f"which artist is {artist}? --artist takes {' or '.join(ARTISTS)}")
    model = SDXS.load(options.checkpoint, styles={"it": options.style})
    scores = measure(model, "it", artist, options.count)
    for strength, row in scores.items():
        shares = (
            f"{name.replace('_', ' ')} {row[name]['share']:.3f}"
            for name in ("recognised", *ACCURACIES)
        )
        print(f"strength {strength:5}", *shares, f"IoU {row['iou']:.3f}", sep="   ")
    command.line(model, style=options.style, artist=artist, strengths=scores)


if __name__ == "__main__":
    raise SystemExit(main())
