"""Score drawings as people begin them: python -m sdxs.storybook.doodled

Sixty drawings of one or two things in a few lines, each with a prompt that says what they are. Of
what is drawn: in how much the evaluator sees the thing, sees it in its colour, and sees both where
it was drawn. Shares with their 95 % interval.
"""

from typing import Any

import torch

from sdxs.pipeline import SDXS
from sdxs.storybook import command
from sdxs.storybook.judges.evaluator import Evaluator, Sight
from sdxs.storybook.judges.painters import BATCH
from sdxs.storybook.judges.tallies import share
from sdxs.storybook.world.doodles import Doodle, doodles, draw
from sdxs.storybook.world.scenes import COLOURS, THINGS

CONTROL = "sketch"
NEAR = 0.1  # sides of the page that a thing may be off, across and down


def found(sight: Sight, some: list[Doodle]) -> list[tuple[bool, bool, bool]]:
    """Of each thing drawn: whether it is seen, in its colour, and in its colour in its place."""
    out = []
    for row, doodle in enumerate(some):
        for thing in doodle.things:
            kind = THINGS.index(thing.kind)
            there = bool(sight.present[row, kind] > 0)
            coloured = there and COLOURS[sight.colour[row, kind].argmax()] == thing.colour
            x, y = sight.where[row, kind].tolist()
            near = abs(x - thing.x) <= NEAR and abs(y - thing.y) <= NEAR
            out.append((there, coloured, coloured and near))
    return out


@torch.no_grad()
def measure(model: SDXS, **worn: Any) -> dict[str, dict[str, float]]:
    """Scores of the sketch control that is loaded; worn: a style and its scale."""
    judge, every = Evaluator.load(), doodles()
    rows: list[tuple[bool, bool, bool]] = []
    for first in range(0, len(every), BATCH):
        some = every[first : first + BATCH]
        images = [model.condition(CONTROL, draw(each, 2 * max(model.size))) for each in some]
        painted = model(
            [each.text for each in some], seed=list(range(first, first + len(some))),
            control=CONTROL, control_image=images, output_type="pt", **worn,
        )  # fmt: skip
        rows += found(judge(painted.float().cpu().clamp(-1, 1)), some)
    names = ("thing", "colour", "colour in its place")
    return {
        name: share(sum(column), len(column))
        for name, column in zip(names, zip(*rows, strict=True), strict=True)
    }


@command.told
def main(arguments: list[str] | None = None) -> None:
    parser = command.parser("doodled", __doc__)
    add = parser.add_argument
    add("--folder", default=CONTROL, help="of the control (default: the one that ships)")
    add("--style", help="a name under weights/styles/, a file or a folder")
    options = parser.parse_args(arguments)
    styles = {"it": options.style} if options.style else {}
    model = command.load(options.checkpoint, styles=styles, controls={CONTROL: options.folder})
    scores = measure(model, **({"style": "it"} if styles else {}))
    for name, row in scores.items():
        print(f"{name:20}", *(f"{key} {value:g}  " for key, value in row.items()))
    command.line(model, style=options.style, **scores)


if __name__ == "__main__":
    raise SystemExit(main())
