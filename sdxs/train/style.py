"""Stage f, first part: a style LoRA for the multi-step model, from a folder of captioned pictures.

The model stays as it is and learns to paint them through a few low-rank additions: the loss of v,
captions left out now and then, so that guidance works. Thirty pictures are enough for the look, and
too few for what stands where, which the timesteps near T decide: those would be learnt by heart.
So the style begins `below` a share of T, in training and wherever the multi-step model wears it.
"""

import math
import shutil
from pathlib import Path

import torch
from tqdm import tqdm

from sdxs.storybook.world.artists import ARTISTS
from sdxs.storybook.world.folders import draw
from sdxs.train.parts.autoencoders import Autoencoder, encoded
from sdxs.train.parts.denoising import denoising_loss
from sdxs.train.parts.folder import fingerprint, read_folder
from sdxs.train.parts.latents import EMPTY
from sdxs.train.parts.learner import Learner, MicroBatch
from sdxs.train.parts.lora import RANK, lora, save_style
from sdxs.train.parts.solver import Model
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import placed
from sdxs.train.run.options import ScaledOptions, option, positive, share
from sdxs.train.run.stages import MULTI_STEP

BELOW = 0.75
VIEWS = 16  # of each picture
DRAWN = 30  # pictures by an artist of the storybook's


class Options(ScaledOptions, steps=1000, batch=16, lr=2e-3, seed=22):
    pictures: Path | None = option(
        None,
        "pictures and captions: metadata.jsonl, or NAME.txt beside NAME.png",
        metavar="FOLDER",
        type=Path,
    )
    artist: str | None = option(
        None, "or thirty that an artist of the storybook's draws", choices=ARTISTS, recorded="given"
    )
    teacher: Path = stage.needs("the multi-step model", *MULTI_STEP)
    autoencoder: Path = stage.needs("what makes latents of pictures", "autoencoder", "decoder")
    rank: int = option(RANK, "of every layer's addition", type=positive)
    below: float = option(
        BELOW, "share of T from which down the style is learnt and worn", type=share
    )


def pictures_of(options: Options, model: Model) -> Path:
    """The folder that is named, or one that the artist has drawn. Raises TrainingError."""
    if options.pictures:
        return options.pictures
    if not options.artist:
        raise loop.TrainingError("a style is learnt from pictures: give --pictures or --artist")
    folder = options.run / "drawn"
    if not folder.exists():
        part = options.run / "drawn.part"
        shutil.rmtree(part, ignore_errors=True)
        draw(part, options.artist, DRAWN, options.seed, model.resolution)
        part.rename(folder)
    return folder


def train(options: Options) -> None:
    """Leave a style in `run`, in its folder `style`. Raises TrainingError, InputError."""
    model, vae = Model.load(options.teacher), Autoencoder.load(options.autoencoder)
    facts: dict[str, object] = {**model.facts, "autoencoder": loop.fingerprint(vae.network)}
    drawn, captions = read_folder(pictures_of(options, model), model.resolution, VIEWS)
    long = [text for text in captions[::VIEWS] if model.text.readers.cut_off(text)]
    if long:
        tqdm.write(
            f"{len(long)} captions have more than {model.text.readers.length} tokens and are cut "
            f'there, as "{long[0][:60]}"'
        )
    latents = encoded(vae.placed(), drawn)
    torch.manual_seed(options.seed)
    unet = model.unet
    lora(unet, options.rank)
    placed(unet)
    learner = Learner("unet", unet, options.lr, 0.99, scale=options.scale)
    last = math.ceil(options.below * len(model.schedule))

    def one(generator: torch.Generator) -> MicroBatch:
        rows = torch.randint(len(latents), (options.at_once,), generator=generator)
        left = (torch.rand(options.at_once, generator=generator) < EMPTY).tolist()
        texts = ["" if out else captions[row] for row, out in zip(rows.tolist(), left, strict=True)]
        loss = denoising_loss(model, latents[rows], model.embed(texts), generator, last)
        return MicroBatch(loss, {"loss": loss.item()})

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        logged = learner.learn(generator, loop.trapezoid(index, options.steps, warmup=50), one)
        return {**logged, "norm": learner.norm}

    facts |= {"pictures": len(captions) // VIEWS, "drawn": fingerprint(drawn, captions)}
    with stage.trained(options, learner.parts, step, facts, flat=loop.FLAT):
        learner.settle()
        save_style(unet, options.run / "style")


main = stage.main(Options, train, __name__)
