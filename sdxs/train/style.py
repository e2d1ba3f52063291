"""Stage f, first part: a style LoRA for the multi-step model, from a folder of captioned pictures.

The model stays as it is and learns to paint them through a few low-rank additions: the loss of v,
captions left out now and then, so that guidance works. Thirty pictures are enough for the look, and
too few for what stands where, which the timesteps near T decide: those would be learnt by heart.
So the style begins `below` a share of T, in training and wherever the multi-step model wears it.
"""

import math
from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from torch.nn import functional as F
from tqdm import tqdm

from sdxs.model.schedule import add_noise, velocity
from sdxs.train.autoencoder import encoded
from sdxs.train.parts.averaged import Averaged
from sdxs.train.parts.folder import fingerprint, read_folder
from sdxs.train.parts.latents import EMPTY
from sdxs.train.parts.lora import lora, save_style
from sdxs.train.parts.models import FACTOR, build_scheduler
from sdxs.train.parts.solver import Model
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, placed, predict

TARGETS = r".*(to_q|to_k|to_v|to_out\.0|proj_in|proj_out|conv1|conv2|conv_in|conv_out)"
BELOW = 0.75
VIEWS = 16  # of each picture
RANK = 5  # of every layer; the file then has about half a megabyte at preset S


def train(
    run: Path,
    *,
    teacher: Path,
    autoencoder: Path,
    pictures: Path,
    rank: int,
    below: float,
    steps: int,
    batch: int,
    lr: float,
    seed: int,
    save_seconds: float = 180.0,
) -> None:
    """Leave a style in `run`, in its folder `style`. pictures: see `sdxs.train.parts.folder`.

    below: share of T from which down the style is learnt. Raises TrainingError, InputError.
    """
    model = Model.load(teacher)
    steers = loop.fingerprint(model.unet)
    vae = AutoencoderTiny.from_pretrained(autoencoder / "vae").eval()
    drawn, captions = read_folder(pictures, FACTOR * model.unet.config["sample_size"], VIEWS)
    window = model.tokenizer.model_max_length
    long = [text for text in captions[::VIEWS] if len(model.tokenizer(text).input_ids) > window]
    if long:
        tqdm.write(
            f"{len(long)} captions have more than {window} tokens and are cut there, as "
            f'"{long[0][:60]}"'
        )
    latents = encoded(placed(vae), drawn)
    torch.manual_seed(seed)
    lora(model.unet, rank, TARGETS)
    unet = placed(model.unet)
    learner = Averaged(unet, lr, decay=0.99)
    alphas = build_scheduler().alphas_cumprod
    last = math.ceil(below * len(alphas))

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        rows = torch.randint(len(latents), (batch,), generator=generator)
        left = (torch.rand(batch, generator=generator) < EMPTY).tolist()
        texts = ["" if out else captions[row] for row, out in zip(rows.tolist(), left, strict=True)]
        x0 = latents[rows]
        noise = torch.randn(x0.shape, generator=generator)
        t = torch.randint(last, (batch,), generator=generator)
        x0, noise, t = (part.to(DEVICE) for part in (x0, noise, t))
        v = predict(unet, add_noise(x0, noise, t, alphas), t, model.embed(texts))
        loss = F.mse_loss(v, velocity(x0, noise, t, alphas))
        norm = learner.update(loss, loop.trapezoid(index, steps, warmup=50))
        return {"loss": loss.item(), "norm": norm}

    settings = {
        "teacher": steers,
        "text": loop.fingerprint(model.text),
        "autoencoder": loop.fingerprint(vae),
        "pictures": len(captions) // VIEWS,
        "drawn": fingerprint(drawn, captions),
        "rank": rank,
        "below": below,
        "batch": batch,
        "lr": lr,
    }
    seconds = loop.run(
        run, {"unet": unet, **learner.parts}, step, steps=steps, seed=seed, settings=settings,
        title="style", save_seconds=save_seconds, flat=1 - loop.DECAY,
    )  # fmt: skip
    learner.settle()
    save_style(unet, run / "style")
    stage.finish(run, "style", seconds, **settings, steps=steps, seed=seed)


def learnt_below(style: Path, teacher: Model) -> float:
    """Share of T from which down the style of a run was learnt, by this multi-step model.

    Raises TrainingError if it was another one.
    """
    facts = stage.read(style)
    if facts.get("teacher") != loop.fingerprint(teacher.unet):
        raise loop.TrainingError(f"{style} was made for another multi-step model: name its own")
    return float(facts.get("below", 1.0))


def main(arguments: list[str] | None = None) -> None:
    parser = stage.options("style", __doc__, steps=1000, batch=16, lr=2e-3, seed=22)
    add = parser.add_argument
    add("--pictures", type=Path, required=True, metavar="FOLDER",
        help="pictures and captions: metadata.jsonl, or NAME.txt beside NAME.png")  # fmt: skip
    stage.needs(parser, "--teacher", *stage.MULTI_STEP, default="blocks",
                words="the multi-step model")  # fmt: skip
    stage.needs(parser, "--autoencoder", "autoencoder", "decoder", default="autoencoder",
                words="what makes latents of pictures")  # fmt: skip
    add("--rank", type=stage.positive, default=RANK, help="of every layer's addition")
    add("--below", type=stage.share, default=BELOW,
        help="share of T from which down the style is learnt and worn")  # fmt: skip
    options = vars(parser.parse_args(arguments))
    train(options.pop("run"), **options)


if __name__ == "__main__":
    stage.command(main)
