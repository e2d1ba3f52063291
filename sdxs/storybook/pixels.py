"""Two judges of the same pictures: python -m sdxs.storybook.pixels --checkpoint storybook

The evaluator beside one that learns nothing, on things and colours: how much each finds right, and
how often they agree.
"""

import sys

import torch

from sdxs.checkpoint.find import weights_folder
from sdxs.pipeline import SDXS
from sdxs.storybook import command
from sdxs.storybook.judges.evaluator import Evaluator, check
from sdxs.storybook.judges.painters import Painter, by_model, by_renderer, painted
from sdxs.storybook.judges.pixels import PixelJudge
from sdxs.storybook.judges.tallies import Found, rounded, tally
from sdxs.storybook.world.captions import FROZEN, FROZEN_UNSEEN, Caption, described, frozen_captions
from sdxs.storybook.world.scenes import HELD_OUT_SEED

JUDGED = ("thing", "colour")


@torch.no_grad()
def compare(
    paint: Painter, evaluator: Evaluator, pixels: PixelJudge, captions: list[Caption], title: str
) -> dict[str, dict[str, float]]:
    """Show both judges the same pictures; print and return shares right and agreement."""
    results: tuple[list[Found], list[Found], list[Found]] = ([], [], [])
    for some, pictures in painted(paint, captions, title):
        ours, theirs = (check(judge(pictures), some) for judge in (evaluator, pixels))
        same = [
            [(name, a == b) for (name, a), (_, b) in zip(*rows, strict=True)]
            for rows in zip(ours, theirs, strict=True)
        ]
        for every, rows in zip(results, (ours, theirs, same), strict=True):
            every.extend(rows)
    tallies, table = [tally(rows) for rows in results], {}
    print(f"\n{title:10}{'evaluator':>10}{'pixels':>8}{'points':>8}{'agree':>8}{'n':>7}")
    for name in JUDGED:
        count = tallies[0][name][1]
        first, second, agree = (scores[name][0] / max(1, count) for scores in tallies)
        points = 100 * (second - first)
        print(f"{name:10}{first:10.1%}{second:8.1%}{points:+8.1f}{agree:8.1%}{count:7d}")
        table[name] = rounded({"evaluator": first, "pixels": second, "agree": agree, "n": count})
    return table


@command.told
def main(arguments: list[str] | None = None) -> None:
    parser = command.parser("pixels", __doc__)
    parser.add_argument("--count", **command.CAPTIONS)
    options = parser.parse_args(arguments)
    model = SDXS.load(options.checkpoint)
    judges = Evaluator.load(weights_folder("evaluator")), PixelJudge()
    scenes, captions = described(options.count, HELD_OUT_SEED, unseen="any")
    draw = by_renderer(scenes, model.size[0])
    scores = {"renders": compare(draw, *judges, captions, "renders")}
    for name, path in (("seen", FROZEN), ("unseen", FROZEN_UNSEEN)):
        captions = frozen_captions(path)[: options.count]
        scores[name] = compare(by_model(model), *judges, captions, name)
    command.line(model, **scores)


if __name__ == "__main__":
    sys.exit(main())
