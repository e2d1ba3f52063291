"""Score a style of the storybook world: python -m sdxs.storybook.styled --style anime

Of 1,000 captions, painted at several strengths of the style: in how many its artist is recognised,
attribute and caption accuracy, and how much of what the same seed gives without the style stays in
its place (intersection over union of where things are). Shares with their 95 % interval. With
--drawn, the same of held-out scenes under the sketch control.
"""

import random
from typing import Any

import torch
from torch import Tensor

from sdxs.errors import InputError
from sdxs.pipeline import SDXS
from sdxs.storybook import command
from sdxs.storybook.judges.controls import SEED, control_images
from sdxs.storybook.judges.painters import STRENGTHS, Painter, by_model, painted
from sdxs.storybook.judges.styles import StyleJudge, compare
from sdxs.storybook.judges.tallies import ACCURACIES, share, tally
from sdxs.storybook.world.artists import ARTISTS
from sdxs.storybook.world.captions import Caption, describe, frozen_captions
from sdxs.storybook.world.scenes import sample_scenes

CONTROL = "sketch"


def recognised_by(captions: list[Caption], seen: list[bool]) -> dict[str, dict[str, float]]:
    """Under which sky and on which ground, as far as captions say, the artist was recognised."""
    found: dict[str, list[bool]] = {}
    for caption, right in zip(captions, seen, strict=True):
        for stated in filter(None, (caption.sky, caption.ground)):
            found.setdefault(stated, []).append(right)
    return {name: share(sum(of), len(of)) for name, of in sorted(found.items())}


@torch.no_grad()
def measure(
    model: SDXS, style: str, artist: str, count: int, drawn: bool = False
) -> dict[str, dict[str, Any]]:
    """Scores of a loaded style, which is to be recognised as the artist's, by strength.

    Of the first `count` frozen captions or, `drawn`, of held-out scenes, painted after sketches of
    them by the sketch control that is loaded.
    """
    judge, captions = StyleJudge.load(), frozen_captions()[:count]
    number = 1 + list(ARTISTS).index(artist)
    rng, scenes = random.Random(SEED), sample_scenes(count, SEED) if drawn else []
    if drawn:
        captions = [describe(scene, rng) for scene in scenes]

    def by(**worn: Any) -> Painter:
        def paint(prompts: list[str], seeds: list[int]) -> Tensor:
            some = [scenes[seed] for seed in seeds]
            led = {"control_image": control_images(model, CONTROL, some, seeds[0])}
            return by_model(model, control=CONTROL, **led, **worn)(prompts, seeds)

        return paint if drawn else by_model(model, **worn)

    plain = [judge.all(pictures)[2] > 0 for _, pictures in painted(by(), captions, "plain")]
    scores = {}
    for strength in STRENGTHS:
        worn = painted(by(style=style, style_scale=strength), captions, f"{style} {strength:g}")
        shown = ((*batch, wanted) for batch, wanted in zip(worn, plain, strict=True))
        results, recognised, overlap = compare(judge, shown, number)
        scores[f"{strength:g}"] = {
            "recognised": share(sum(recognised), count),
            **{name: share(*tally(results)[name]) for name in ACCURACIES},
            "iou": round(overlap / count, 4),
            "recognised_by": recognised_by(captions, recognised),
        }
    return scores


@command.told
def main(arguments: list[str] | None = None) -> None:
    parser = command.parser("styled", __doc__)
    add = parser.add_argument
    add("--style", required=True, help="a name under weights/styles/, a file or a folder")
    add("--artist", choices=ARTISTS, help="whose style it is to be (default: its name)")
    add("--count", **command.CAPTIONS)
    add("--drawn", metavar="CONTROL", nargs="?", const=CONTROL,
        help="scenes painted after sketches of them, by this sketch control "
        "(default: the one that ships)")  # fmt: skip
    options = parser.parse_args(arguments)
    artist = options.artist or options.style
    if artist not in ARTISTS:
        raise InputError(f"which artist is {artist}? --artist takes {' or '.join(ARTISTS)}")
    controls = {CONTROL: options.drawn} if options.drawn else None
    model = command.load(options.checkpoint, styles={"it": options.style}, controls=controls)
    scores = measure(model, "it", artist, options.count, drawn=bool(controls))
    for strength, row in scores.items():
        shares = (
            f"{name.replace('_', ' ')} {row[name]['share']:.3f}"
            for name in ("recognised", *ACCURACIES)
        )
        print(f"strength {strength:5}", *shares, f"IoU {row['iou']:.3f}", sep="   ")
    by = (f"{name} {found['share']:.3f}" for name, found in row["recognised_by"].items())
    print(f"recognised at {strength}", *by, sep="   ")
    command.line(model, style=options.style, artist=artist, strengths=scores)


if __name__ == "__main__":
    raise SystemExit(main())
