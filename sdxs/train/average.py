"""A one-step model between others: the mean of their weights.

Models that went on from one U-Net towards different ends, one to what captions state, one to how
renders look, give more of both in the mean than either does (WiSE-FT, arXiv 2109.01903; model
soups, arXiv 2203.05482).
"""

import time
from pathlib import Path

import torch

from sdxs.train.parts.solver import read_unet, reader
from sdxs.train.run import loop, stage
from sdxs.train.run.options import CommandOptions, option
from sdxs.train.run.stages import ONE_STEP


class Options(CommandOptions):
    run: Path = option(help="where it goes", metavar="FOLDER")
    models: tuple[Path, ...] = stage.takes("one-step models of one shape", *ONE_STEP, many=True)
    shares: tuple[float, ...] = option(
        (), "of each in the mean, 1 in all (default: as much of each)", nargs="*", type=float
    )


@torch.no_grad()
def average(options: Options) -> None:
    """Leave the mean model in `run`. Raises TrainingError for models that have none."""
    began, models = time.monotonic(), options.models
    if len(models) < 2:
        raise loop.TrainingError("a mean is of two models at least: give them after --models")
    shares = tuple(options.shares) or (1 / len(models),) * len(models)
    if len(shares) != len(models) or abs(sum(shares) - 1) > 1e-3:
        raise loop.TrainingError(
            f"--shares takes one for each of the {len(models)} models, 1 in all"
        )
    words = {loop.fingerprint(reader(folder)[0]) for folder in models}
    if len(words) > 1:
        raise loop.TrainingError("these models have different text encoders: there is no mean")
    unets = [read_unet(folder) for folder in models]
    states = [unet.state_dict() for unet in unets]
    shapes = [{name: part.shape for name, part in state.items()} for state in states]
    if any(shape != shapes[0] for shape in shapes):
        raise loop.TrainingError("these models have different layers: there is no mean")
    facts = {"models": [loop.fingerprint(unet) for unet in unets], "shares": list(shares)}
    mean = {
        name: torch.stack([s * state[name] for s, state in zip(shares, states, strict=True)]).sum(0)
        for name in states[0]
    }
    unets[0].load_state_dict(mean)
    unets[0].save_pretrained(options.run / "unet")
    stage.hand_on(models[0], options.run)
    stage.finish(options.run, Options.name, time.monotonic() - began, **facts)


main = stage.main(Options, average, __name__)
