"""What models paint of captions, and beside each picture the nearest that training has seen.

A model may know its pictures by heart: here it shows, and is counted. Captions of the folder are
painted; `distance` is the median root mean square difference of pixels, in [0, 1] and at 64 x 64,
from the nearest of its pictures, `apart` the same of its pictures from the nearest other, and `own`
the share of captions whose nearest picture is their own.
"""

import random
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from sdxs.picture import to_pictures
from sdxs.storybook.judges.painters import Painter
from sdxs.storybook.judges.sheets import in_rows
from sdxs.train.parts.autoencoders import read_autoencoder
from sdxs.train.parts.folder import fingerprint, read_folder
from sdxs.train.parts.renders import to_unit
from sdxs.train.parts.solver import Model, painter
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import placed
from sdxs.train.run.options import CommandOptions, option, positive
from sdxs.train.run.stages import MODELS, sampling

SHEET = "sheet.png"
SIDE = 64  # pixels along the side of what is compared
SOME, ROWS = 16, 8  # pictures painted at once; rows of the sheet, if nobody says which


class Options(CommandOptions):
    run: Path = option(help="where the sheet and the result go", metavar="FOLDER")
    models: tuple[Path, ...] = stage.takes("two columns of the sheet each", *MODELS, many=True)
    autoencoder: Path = stage.needs("what makes pictures of latents", "autoencoder", "decoder")
    data: Path = option(
        Path("runs", "emoji"), "the captioned pictures that they learnt from", metavar="FOLDER"
    )
    captions: list[str] | None = option(
        None, "rows of the sheet (default: some of the folder's)", nargs="+"
    )
    count: int = option(256, "captions that are painted to measure", type=positive)
    seed: int = option(0)


def compared(pictures: Tensor) -> Tensor:
    """(N, 3, R, R) in [-1, 1] as points whose distance is a root mean square, in [0, 1]."""
    points = F.adaptive_avg_pool2d(pictures.float(), SIDE).flatten(1) / 2
    return points / points.shape[1] ** 0.5


def painted(paint: Painter, texts: Sequence[str], seed: int, title: str) -> Tensor:
    """What is painted of texts, (N, 3, R, R) in [-1, 1] on the processor; the seed of the first."""
    parts = []
    for first in tqdm(range(0, len(texts), SOME), title, dynamic_ncols=True, mininterval=2):
        some = list(texts[first : first + SOME])
        seeds = list(range(seed + first, seed + first + len(some)))
        parts.append(paint(some, seeds).float().cpu().clamp(-1, 1))
    return torch.cat(parts)


def show(options: Options) -> None:
    """Leave a sheet and a result in `run`. Raises TrainingError, InputError."""
    began = time.monotonic()
    if not options.models:
        raise loop.TrainingError("--models: name one at least, such as runs/distill")
    models = [Model.load(folder) for folder in options.models]
    if len({model.resolution for model in models}) > 1:
        raise loop.TrainingError("--models paint pictures of several sizes: name those of one")
    drawn, captions = read_folder(options.data, models[0].resolution)
    known = compared(to_unit(drawn))
    chosen = random.Random(options.seed).sample(range(len(captions)), len(captions))
    chosen = chosen[: options.count]
    rows = options.captions or [captions[place] for place in chosen[:ROWS]]
    vae = placed(read_autoencoder(options.autoencoder))
    seen = to_pictures(to_unit(drawn))
    blank = Image.new("RGB", seen[0].size, "lightgrey")
    own = [seen[captions.index(text)] if text in captions else blank for text in rows]
    columns, heads, found = [own], ["training"], {}
    for folder, model in zip(options.models, models, strict=True):
        made_by = stage.read(folder)["stage"]
        paint = painter(model, vae, *sampling(made_by))
        told = painted(paint, [captions[place] for place in chosen], options.seed, folder.name)
        away, place = torch.cdist(compared(told), known).min(1)
        same = [captions[a] == captions[b] for a, b in zip(place.tolist(), chosen, strict=True)]
        found[folder.name] = {
            "distance": round(away.median().item(), 4),
            "own": round(sum(same) / len(same), 4),
        }
        shown = painted(paint, rows, options.seed, "sheet")
        places = torch.cdist(compared(shown), known).argmin(1).tolist()
        columns += [to_pictures(shown), [seen[place] for place in places]]
        heads += [folder.name, "nearest"]
    options.run.mkdir(parents=True, exist_ok=True)
    cells = zip(*columns, strict=True)
    page = in_rows([(text, list(row)) for text, row in zip(rows, cells, strict=True)], heads)
    page.save(options.run / SHEET, optimize=True)
    apart = torch.cdist(known, known).fill_diagonal_(float("inf")).amin(1).median().item()
    facts = {"data": fingerprint(drawn, captions), "painted": len(chosen), "models": found}
    stage.finish(options.run, "nearest", time.monotonic() - began, apart=round(apart, 4), **facts)


main = stage.main(Options, show, __name__)
