"""Score a model on its way: what is right on the frozen captions, how its pictures lie as a whole.

Models of many steps are judged at 32 evaluations of their U-Net, guided. Leaves `score.json` beside
the model. For a finished checkpoint there are `sdxs.storybook.evaluate` and
`sdxs.storybook.distribution`.
"""

import json
from pathlib import Path
from typing import Any

from diffusers import AutoencoderTiny
from torch import Tensor

from sdxs.checkpoint.find import weights_folder
from sdxs.model.schedule import draw_noise, seeded
from sdxs.storybook.judges import distribution
from sdxs.storybook.judges.accuracy import score
from sdxs.storybook.judges.evaluator import Evaluator
from sdxs.storybook.judges.painters import Painter
from sdxs.train.parts.models import FACTOR
from sdxs.train.parts.solver import GUIDANCE, Model
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE

SCORE = "score.json"


def sampling(run: Path, steps: int = 16) -> tuple[int, float]:
    """Steps and guidance that the model of a finished stage is painted with.

    steps: of a model of many; each takes two evaluations.
    """
    made_by = stage.read(run)["stage"]
    if made_by in (*stage.ONE_STEP, stage.EXPORT):
        return 1, 1.0
    return (4, 1.0) if made_by == "straighten" else (steps, GUIDANCE)


def painter(model: Model, vae: AutoencoderTiny, steps: int, guidance: float) -> Painter:
    """Prompts and seeds to pictures, with the noise that the finished checkpoint would use."""
    side, channels = model.unet.config["sample_size"], model.unet.config["in_channels"]

    def paint(prompts: list[str], seeds: list[int]) -> Tensor:
        noise = draw_noise(seeded(seeds), (channels, side, side))
        latents = model.sample(prompts, noise, steps, guidance).to(DEVICE)
        pictures: Tensor = vae.decode(latents).sample.detach()
        return pictures

    return paint


def measure(
    run: Path,
    *,
    autoencoder: Path,
    count: int,
    pictures: int,
    steps: int | None = None,
    guidance: float | None = None,
    again: bool = True,
) -> dict[str, Any]:
    """Write and return the score of the model in `run`.

    count: captions of each frozen file. pictures: for the distribution, 0 for none of it. steps,
    guidance: of the solver, None for what `sampling` says. again: also if the same score is there.
    """
    usual = sampling(run)
    model = Model.load(run)
    vae = AutoencoderTiny.from_pretrained(autoencoder / "vae").eval().to(DEVICE)
    judge = Evaluator.load(weights_folder("evaluator"))
    asked: dict[str, Any] = {
        "steps": steps or usual[0],
        "guidance": usual[1] if guidance is None else guidance,
        "count": count,
        "pictures": pictures,
        "model": loop.fingerprint(model.unet),
        "autoencoder": loop.fingerprint(vae),
        "evaluator": loop.fingerprint(judge),
    }
    file = run / SCORE
    if not again and file.exists():
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if asked.items() <= found.items():
            return found
    paint = painter(model, vae, asked["steps"], asked["guidance"])
    found = {**asked, **score(paint, count)}
    if pictures:
        side = FACTOR * model.unet.config["sample_size"]
        found["distribution"] = distribution.measure(paint, judge, pictures, side)
    with loop.replacing(file) as part:
        part.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = stage.parser("score", __doc__)
    add = parser.add_argument
    add("run", type=stage.finished_by(*stage.MODELS), metavar="FOLDER", help="of the model")
    stage.needs(parser, "--autoencoder", "autoencoder", "decoder", default="autoencoder",
                words="what makes pictures of latents")  # fmt: skip
    add("--steps", type=stage.positive, help="of the solver (default: 16; 1 for one-step models)")
    add("--guidance", type=float, help=f"(default: {GUIDANCE}; none for one-step models)")
    add("--count", type=stage.positive, default=1000, help="captions of each file")
    add("--pictures", type=int, default=0, help="for Frechet distance and diversity, such as 5000")
    options = vars(parser.parse_args(arguments))
    run = options.pop("run")
    print(json.dumps({"folder": str(run), **measure(run, **options)}))


if __name__ == "__main__":
    stage.command(main)
