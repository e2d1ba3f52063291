"""A one-step model between others: the mean of their weights.

Models that went on from one U-Net towards different ends, one to what captions state, one to how
renders look, give more of both in the mean than either does (`sdxs.train.parts.means`).
"""

import time
from pathlib import Path

from sdxs.train.parts.denoiser import leave, read_denoiser
from sdxs.train.parts.means import even, mean
from sdxs.train.parts.text_encoders import TextEncoders
from sdxs.train.run import loop, stage
from sdxs.train.run.options import CommandOptions, option
from sdxs.train.run.stages import ONE_STEP


class Options(CommandOptions):
    run: Path = option(help="where it goes", metavar="FOLDER")
    models: tuple[Path, ...] = stage.takes("one-step models of one shape", *ONE_STEP, many=True)
    shares: tuple[float, ...] = option(
        (), "of each in the mean, 1 in all (default: as much of each)", nargs="*", type=float
    )


def average(options: Options) -> None:
    """Leave the mean model in `run`. Raises TrainingError for models that have none."""
    began, models = time.monotonic(), options.models
    shares = even(options.shares, len(models))
    if len({TextEncoders.load(folder).fingerprint for folder in models}) > 1:
        raise loop.TrainingError("these models have different text encoders: there is no mean")
    read = [read_denoiser(folder) for folder in models]
    unets = [each.unet for each in read]
    facts = {"models": [loop.fingerprint(unet) for unet in unets], "shares": list(shares)}
    unets[0].load_state_dict(mean([unet.state_dict() for unet in unets], shares))
    leave(read[0], models[0], options.run)
    stage.finish(options.run, Options.name, time.monotonic() - began, **facts)


main = stage.main(Options, average, __name__)
