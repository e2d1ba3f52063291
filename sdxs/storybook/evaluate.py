"""Score a model of the storybook world on the frozen captions: python -m sdxs.storybook.evaluate

Attribute accuracy is the share of stated attributes that the evaluator sees in the picture, caption
accuracy the share of captions with every stated attribute seen; both with Wilson's 95 % interval.
Chance is what a painter would score that never reads the caption but follows the odds of the world.
"""

from diffusers import AutoencoderTiny

from sdxs.storybook import command
from sdxs.storybook.judges.accuracy import of_renders, score
from sdxs.storybook.judges.evaluator import Evaluator
from sdxs.storybook.judges.painters import by_model


@command.told
def main(arguments: list[str] | None = None) -> None:
    parser = command.parser("evaluate", __doc__)
    parser.add_argument("--count", **command.CAPTIONS)
    options = parser.parse_args(arguments)
    model = command.load(options.checkpoint)
    judge = Evaluator.load()
    vae = AutoencoderTiny.from_pretrained(model.source.folder / "vae").eval()
    limits = {
        name: round(of_renders(judge, options.count, model.size[0], through), 4)
        for name, through in (("renders", None), ("ceiling", vae))
    }
    print("\nattribute accuracy of renders {renders:.1%}, after the autoencoder {ceiling:.1%}"
          .format(**limits))  # fmt: skip
    command.line(model, **limits, **score(by_model(model), judge, options.count))


if __name__ == "__main__":
    raise SystemExit(main())
