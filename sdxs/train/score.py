"""Score a model on its way: what is right on the frozen captions, how its pictures lie as a whole,
and what a judge that learns nothing says of them.

Models of many steps are judged at 32 evaluations of their U-Net, guided. Leaves `score.json` beside
the model. For a finished checkpoint there are `sdxs.storybook.evaluate` and
`sdxs.storybook.distribution`.
"""

import json
from pathlib import Path
from typing import Any

from sdxs.storybook.judges import distribution
from sdxs.storybook.judges.accuracy import score
from sdxs.storybook.judges.evaluator import Evaluator
from sdxs.storybook.judges.pixels import PixelJudge, compare
from sdxs.storybook.world.captions import FROZEN, frozen_captions
from sdxs.train.parts.autoencoders import read_autoencoder
from sdxs.train.parts.solver import Model, painter
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE
from sdxs.train.run.options import CommandOptions, option, positive
from sdxs.train.run.stages import GUIDANCE, MODELS, MULTI, SAMPLED, sampling


class Options(CommandOptions):
    run: Path = option(help="of the model", type=stage.finished_by(*MODELS), metavar="FOLDER",
                       positional=True)  # fmt: skip
    autoencoder: Path = stage.needs(
        "what makes pictures of latents", "autoencoder", "decoder", "upscale"
    )
    steps: int | None = option(
        None, f"of the solver (default: {SAMPLED[MULTI][0]}; 1 for one-step models)"
    )
    guidance: float | None = option(None, f"(default: {GUIDANCE}; none for one-step models)")
    count: int = option(1000, "captions of each file", type=positive)
    pictures: int = option(0, "for Frechet distance and diversity, such as 5000", type=int)
    guarded: int = option(
        0, "captions of each file for the judge that learns nothing, such as 250", type=int
    )
    once: bool = option(False, "leave the same score as it is, if it is there")


def measure(options: Options) -> dict[str, Any]:
    """Write and return the score of the model in `run`."""
    run = options.run
    usual = sampling(stage.read(run)["stage"])
    model, vae = Model.load(run), read_autoencoder(options.autoencoder).to(DEVICE)
    judge = Evaluator.load()
    asked: dict[str, Any] = {
        "steps": options.steps or usual[0],
        "guidance": usual[1] if options.guidance is None else options.guidance,
        "count": options.count,
        "pictures": options.pictures,
        "guarded": options.guarded,
        "model": loop.fingerprint(model.unet),
        "autoencoder": loop.fingerprint(vae),
        "evaluator": loop.fingerprint(judge),
    }
    file = run / stage.SCORE
    if options.once and file.exists():
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if asked.items() <= found.items():
            return found
    paint = painter(model, vae, asked["steps"], asked["guidance"])
    found = {**asked, **score(paint, judge, options.count)}
    if options.pictures:
        found["distribution"] = distribution.measure(
            paint, judge, options.pictures, model.resolution
        )
    if options.guarded:
        found["guard"] = {
            name: compare(
                paint, judge, PixelJudge(), frozen_captions(name)[: options.guarded], name
            )
            for name in FROZEN
        }
    with loop.replacing(file) as part:
        part.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return found


def tell(options: Options) -> None:
    """Print the score as one line of JSON."""
    print(json.dumps({"folder": str(options.run), **measure(options)}))


main = stage.main(Options, tell, __name__)
