"""Two judges of the same pictures: python -m sdxs.storybook.pixels --checkpoint storybook

The evaluator beside one that learns nothing, on things and colours: how much each finds right, and
how often they agree.
"""

from sdxs.storybook import command
from sdxs.storybook.judges.evaluator import Evaluator
from sdxs.storybook.judges.painters import by_model, by_renderer
from sdxs.storybook.judges.pixels import PixelJudge, compare
from sdxs.storybook.world.captions import FROZEN, described, frozen_captions
from sdxs.storybook.world.scenes import HELD_OUT_SEED


@command.told
def main(arguments: list[str] | None = None) -> None:
    parser = command.parser("pixels", __doc__)
    parser.add_argument("--count", **command.CAPTIONS)
    options = parser.parse_args(arguments)
    model = command.load(options.checkpoint)
    judges = Evaluator.load(), PixelJudge()
    scenes, captions = described(options.count, HELD_OUT_SEED, unseen="any")
    draw = by_renderer(scenes, model.size[0])
    scores = {"renders": compare(draw, *judges, captions, "renders")}
    for name in FROZEN:
        captions = frozen_captions(name)[: options.count]
        scores[name] = compare(by_model(model), *judges, captions, name)
    command.line(model, **scores)


if __name__ == "__main__":
    raise SystemExit(main())
