"""How a model's pictures lie as a whole: python -m sdxs.storybook.distribution

Frechet distance to the renders, diversity, sharpness.
"""

from sdxs.storybook import command
from sdxs.storybook.judges.distribution import measure
from sdxs.storybook.judges.evaluator import Evaluator
from sdxs.storybook.judges.painters import BATCH, by_model


@command.told
def main(arguments: list[str] | None = None) -> None:
    parser = command.parser("distribution", __doc__)
    parser.add_argument("--count", type=int, default=5000, help="pictures (default: %(default)s)")
    options = parser.parse_args(arguments)
    model = command.load(options.checkpoint)
    judge = Evaluator.load()
    count = max(BATCH, options.count)
    command.line(model, **measure(by_model(model), judge, count, model.size[0]))


if __name__ == "__main__":
    raise SystemExit(main())
