"""A style between others of one model: the mean of their matrices (`sdxs.train.parts.means`).

Those that went on from one style, one led by the reward, one by the adversary, give more of both in
the mean, as one-step models do. The mean of the matrices is not that of their products; of styles
that stayed near each other it is near it.
"""

import time
from pathlib import Path

from safetensors.torch import save_file

from sdxs.train.parts.lora import FILE, NAME, fingerprint, read_file
from sdxs.train.parts.means import even, mean
from sdxs.train.run import loop, stage
from sdxs.train.run.options import CommandOptions, option


class Options(CommandOptions):
    run: Path = option(help="where it goes", metavar="FOLDER")
    styles: tuple[Path, ...] = stage.takes(
        "one-step styles of one model and rank", "style_distill", many=True
    )
    shares: tuple[float, ...] = option(
        (), "of each in the mean, 1 in all (default: as much of each)", nargs="*", type=float
    )


def average(options: Options) -> None:
    """Leave the mean style in `run`, in its folder `style`. Raises TrainingError for styles that
    have none."""
    began, styles = time.monotonic(), [folder / NAME for folder in options.styles]
    shares = even(options.shares, len(styles))
    students = {stage.read(folder)["student"] for folder in options.styles}
    if len(students) > 1:
        raise loop.TrainingError("these styles are of different models: there is no mean")
    read = [read_file(folder) for folder in styles]
    made = mean([tensors for tensors, _ in read], shares)
    (options.run / NAME).mkdir(parents=True, exist_ok=True)
    save_file(
        {name: part.half() for name, part in made.items()}, options.run / NAME / FILE, read[0][1]
    )
    facts = {"styles": [fingerprint(folder) for folder in styles], "shares": list(shares)}
    stage.finish(
        options.run, Options.name, time.monotonic() - began, student=students.pop(), **facts
    )


main = stage.main(Options, average, __name__)
