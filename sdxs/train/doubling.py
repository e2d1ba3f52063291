"""A decoder that shows the same latents at twice the size: five stages where the encoder has four.

U-Net, styles and controls stay as they are. Encoded renders are to become the same scenes rendered
at twice the size; painted latents, of which nobody knows the larger picture, are held to what the
present decoder shows by the paper's eq. 5, the L1 of reduced pictures. What is finer on both comes
from a GAN that sees picture and latents together (section 3.1).
"""

import itertools
import random
import time
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderTiny
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from sdxs.storybook.captions import describe
from sdxs.storybook.distribution import sharpness
from sdxs.storybook.render import render
from sdxs.storybook.scenes import HELD_OUT_SEED, Scene, sample_scenes
from sdxs.train import loop, stage
from sdxs.train.autoencoder import reconstruction_loss, to_unit
from sdxs.train.averaged import Averaged
from sdxs.train.decoder import coarse_l1, frozen, proportion
from sdxs.train.latents import CHUNK
from sdxs.train.losses import hinge, unmasked
from sdxs.train.machine import DEVICE, fast, placed
from sdxs.train.models import FACTOR
from sdxs.train.segmented import ALPHAS
from sdxs.train.solver import Model, one_step

CROP = 8  # latent cells along a side
DECAY = 0.5  # share of the steps over which the learning rate falls to zero
NOISE = 0.12  # the most noise on encoded latents, in their own units
NEAR = 0.7  # share of the windows that hold a thing
WIDTH = 38  # channels: 5.4 GFLOP a picture of 256 pixels
QUIET = 0.25  # share of the steps before the GAN begins
PAINTED = 1 / 3  # share of a batch that is painted, from then on
BLOCKS = (4, 5, 4, 1, 0)  # none at full size: two convolutions there enlarge by what they learnt


def build(smaller: AutoencoderTiny, width: int) -> AutoencoderTiny:
    """The smaller one's encoder, and a decoder that doubles once more."""
    config = {
        **smaller.config,
        "decoder_block_out_channels": (width,) * len(BLOCKS),
        "num_decoder_blocks": BLOCKS,
    }
    config.pop("block_out_channels", None)
    larger = AutoencoderTiny.from_config(config)
    larger.encoder.load_state_dict(smaller.encoder.state_dict())
    return larger


class Discriminator(nn.Module):
    """Logits of whether pictures (B, 3, 16h, 16w) are renders of latents z (B, 4, h, w).

    At an eighth of the picture's size, of the picture alone; at the latents' size, of both.
    """

    def __init__(self, width: int = 32, latent: int = 4) -> None:
        super().__init__()
        sizes = [3, width, 2 * width, 3 * width]
        self.small = nn.Sequential(
            *(
                layer
                for before, after in itertools.pairwise(sizes)
                for layer in (nn.Conv2d(before, after, 4, 2, 1), nn.LeakyReLU(0.2))
            )
        )
        wide = sizes[-1]
        self.fine = nn.Conv2d(wide, 1, 3, 1, 1)
        self.smaller = nn.Sequential(nn.Conv2d(wide, wide, 4, 2, 1), nn.LeakyReLU(0.2))
        self.fits = nn.Sequential(
            nn.Conv2d(wide + latent, wide, 3, 1, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(wide, 1, 3, 1, 1),
        )

    def forward(self, picture: Tensor, z: Tensor) -> list[Tensor]:
        h = self.small(picture)
        return [self.fine(h), self.fits(torch.cat((self.smaller(h), z), 1))]


@torch.no_grad()
def rendered(
    folder: Path, vae: AutoencoderTiny, scenes: list[Scene], resolution: int, seed: int
) -> dict[str, Tensor]:
    """Latents of renders and the same at twice the size, uint8; from `folder` if made before."""
    about = f"{len(scenes)}/{seed}/{resolution}/{loop.fingerprint(vae.encoder)}"
    return cached(folder / "rendered", about, lambda: _rendered(vae, scenes, resolution))


def _rendered(vae: AutoencoderTiny, scenes: list[Scene], resolution: int) -> dict[str, Tensor]:
    latents, pictures = [], []
    for i in tqdm(range(0, len(scenes), CHUNK), desc="renders", dynamic_ncols=True, mininterval=2):
        some = scenes[i : i + CHUNK]
        with fast():
            z = vae.encoder(render(some, resolution, DEVICE).picture)
        latents.append(z.float().cpu().contiguous().half())
        pictures.append(to_bytes(render(some, 2 * resolution).picture))
    return {"latents": torch.cat(latents), "pictures": torch.cat(pictures)}


@torch.no_grad()
def painted(
    folder: Path, vae: AutoencoderTiny, model: Model, count: int, seed: int
) -> dict[str, Tensor]:
    """Latents that a one-step model paints, and what the present decoder shows of them, uint8."""
    about = f"{count}/{seed}/{loop.fingerprint(model.unet)}/{loop.fingerprint(vae)}"
    return cached(folder / "painted", about, lambda: _painted(vae, model, count, seed))


def _painted(vae: AutoencoderTiny, model: Model, count: int, seed: int) -> dict[str, Tensor]:
    side = model.unet.config["sample_size"]
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    scenes = sample_scenes(count, seed + 1)
    latents, pictures = [], []
    for i in tqdm(range(0, count, CHUNK), desc="paintings", dynamic_ncols=True, mininterval=2):
        texts = [describe(scene, rng).text for scene in scenes[i : i + CHUNK]]
        noise = torch.randn(len(texts), 4, side, side, generator=generator)
        z = one_step(model.unet, noise.to(DEVICE), model.embed(texts), ALPHAS)
        with fast():
            shown = vae.decoder(z)
        latents.append(z.cpu().contiguous().half())
        pictures.append(to_bytes(shown.float().cpu()))
    return {"latents": torch.cat(latents), "pictures": torch.cat(pictures)}


def cached(path: Path, about: str, make: Any) -> dict[str, Tensor]:
    """What `make` gives, kept beside a note that says what it is."""
    file, note = path.with_suffix(".safetensors"), path.with_suffix(".txt")
    if file.exists() and note.exists() and note.read_text() == about:
        return load_file(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    note.unlink(missing_ok=True)
    data: dict[str, Tensor] = make()
    data = {name: part.contiguous() for name, part in data.items()}
    save_file(data, file)
    with loop.replacing(note) as part:  # last: it says that the file is whole
        part.write_text(about)
    return data


def to_bytes(pictures: Tensor) -> Tensor:
    """[-1, 1] to uint8."""
    return ((pictures.contiguous() + 1) * 127.5).round().clamp(0, 255).byte()


def windows(
    latents: Tensor,
    pictures: Tensor,
    count: int,
    generator: torch.Generator,
    scenes: list[Scene] | None = None,
) -> tuple[Tensor, Tensor]:
    """Random windows of latents (count, 4, CROP, CROP) and of pictures, in [-1, 1].

    scenes: of them; most windows then hold the middle of a thing.
    """
    rows = torch.randint(len(latents), (count,), generator=generator).tolist()
    numbers = torch.rand(count, 4, generator=generator).tolist()
    cells, scale = latents.shape[-1], pictures.shape[-1] // latents.shape[-1]
    z, x = [], []
    for row, (a, b, c, d) in zip(rows, numbers, strict=True):
        left, top = (round(v * (cells - CROP)) for v in (a, b))
        if scenes is not None and c < NEAR:
            thing = scenes[row].things[int(d * len(scenes[row].things))]
            left = round((thing.x + 0.3 * (a - 0.5)) * cells - CROP / 2)
            top = round((thing.y - thing.height / 2 + 0.3 * (b - 0.5)) * cells - CROP / 2)
        left, top = (min(max(v, 0), cells - CROP) for v in (left, top))
        z.append(latents[row, :, top : top + CROP, left : left + CROP])
        rows_of, columns = (slice(scale * v, scale * (v + CROP)) for v in (top, left))
        x.append(pictures[row, :, rows_of, columns])
    return torch.stack(z).float().to(DEVICE), to_unit(torch.stack(x)).to(DEVICE)


@torch.no_grad()
def measure(
    larger: AutoencoderTiny, smaller: AutoencoderTiny, z: Tensor, resolution: int, count: int
) -> dict[str, float]:
    """On held-out renders: PSNR in dB of whole pictures and in things' boxes, and sharpness.

    z: painted latents, of which sharpness and the L1 of the reduced picture are measured.
    """
    scenes, size = sample_scenes(count, HELD_OUT_SEED, unseen="any"), 2 * resolution
    errors, inside, sharp, sharpest = [], [], [], []
    for i in range(0, count, CHUNK):
        some = scenes[i : i + CHUNK]
        target = render(some, size).picture
        ours = larger.decoder(larger.encoder(render(some, resolution).picture)).clamp(-1, 1)
        sharp.append(sharpness(ours))
        sharpest.append(sharpness(target))
        error = ((ours - target) / 2).square().mean(1)
        for part, scene in zip(error, some, strict=True):
            errors.append(part.flatten())
            for t in scene.things:
                x0, x1 = ((t.x + side * t.height / 2) * size for side in (-1, 1))
                y0, y1 = (t.y - t.height) * size, t.y * size
                box = part[max(0, int(y0)) : int(y1), max(0, int(x0)) : int(x1)]
                inside.append(box.flatten())
    whole, boxed = (-10 * torch.cat(parts).mean().log10() for parts in (errors, inside))
    shown, before = larger.decoder(z).clamp(-1, 1), smaller.decoder(z).clamp(-1, 1)
    apart = F.l1_loss(F.avg_pool2d(shown, 4), F.avg_pool2d(before, 2))
    found = {"psnr": (whole, 2), "psnr_in_boxes": (boxed, 2), "l1_painted": (apart, 4)}
    of = {"renders": sharpest, "reconstructed": sharp, "painted": [sharpness(shown)]}
    return {name: round(float(value), digits) for name, (value, digits) in found.items()} | {
        f"sharpness_{name}": round(sum(values) / len(values), 5) for name, values in of.items()
    }


def train(
    run: Path,
    *,
    autoencoder: Path,
    model: Path,
    width: int,
    gan: float,
    steps: int,
    batch: int,
    pictures: int,
    paintings: int,
    lr: float,
    seed: int,
    held_out: int,
    save_seconds: float = 180.0,
) -> None:
    """Leave an autoencoder in `run` whose decoder shows latents at twice the encoder's size.

    autoencoder: whose latents; its decoder says what painted ones show. model: a one-step model, of
    `paintings` latents. gan: the GAN's gradient relative to the other loss's. Raises TrainingError.
    """
    smaller, painter = frozen(autoencoder), Model.load(model)
    resolution = FACTOR * painter.unet.config["sample_size"]
    began = time.monotonic()
    scenes = sample_scenes(pictures, seed, unseen="any")
    known = rendered(run, smaller, scenes, resolution, seed)
    shown = painted(run, smaller, painter, paintings, seed)
    drawing = time.monotonic() - began
    torch.manual_seed(seed)
    larger, judge = placed(build(smaller, width)), placed(Discriminator())
    larger.encoder.requires_grad_(False)
    decoder = larger.decoder.train()
    last = decoder.layers[-1].weight
    learner = Averaged(decoder, lr, 0.998)
    critic = torch.optim.AdamW(judge.parameters(), lr=3e-4, betas=(0.5, 0.99), fused=True)

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        loud = gan > 0 and index >= QUIET * steps
        some = round(PAINTED * batch) if loud else 0
        z, target = windows(known["latents"], known["pictures"], batch - some, generator, scenes)
        strength = NOISE * torch.rand(len(z), 1, 1, 1, generator=generator)
        z = z + (strength * torch.randn(z.shape, generator=generator)).to(DEVICE)
        every = z
        if loud:
            more, before = windows(shown["latents"], shown["pictures"], some, generator)
            every = torch.cat((z, more))
        with fast():
            ours = decoder(every.to(memory_format=torch.channels_last)).float()
        loss = reconstruction_loss(ours[: len(z)], target)
        told = {"loss": loss.item()}
        if loud:
            told |= follow(z, target, every, ours.detach())
            coarse = coarse_l1(F.avg_pool2d(ours[len(z) :], 2), before, 2)
            judge.requires_grad_(False)
            with fast():
                fooled = unmasked([logits.float() for logits in judge(ours, every)])
            weight = gan * proportion(loss, fooled, last)
            judge.requires_grad_(True)
            loss = loss + coarse + weight * fooled
            told |= {"coarse": coarse.item(), "fooled": fooled.item(), "weight": weight}
        learner.update(loss, loop.trapezoid(index, steps, decay=DECAY))
        return told

    def follow(z: Tensor, target: Tensor, every: Tensor, ours: Tensor) -> dict[str, float]:
        """One update of the discriminator."""
        with fast():
            real = [logits.float() for logits in judge(target, z)]
            fake = [logits.float() for logits in judge(ours, every)]
        judged = hinge(real, fake)
        critic.zero_grad(set_to_none=True)
        judged.backward()
        critic.step()
        return {"judged": judged.item()}

    settings = {
        "autoencoder": loop.fingerprint(smaller),
        "model": loop.fingerprint(painter.unet),
        "width": width,
        "gan": gan,
        "batch": batch,
        "pictures": pictures,
        "paintings": paintings,
        "lr": lr,
    }
    parts = {"decoder": decoder, "judge": judge, "judge_optimizer": critic, **learner.parts}
    seconds = loop.run(
        run, parts, step, steps=steps, seed=seed, settings=settings, title="doubling",
        save_seconds=save_seconds, flat=0.0 if gan else 1 - DECAY,
    )  # fmt: skip
    learner.settle()
    larger = larger.cpu().eval()
    z = shown["latents"][:held_out].float()
    measured = measure(larger, smaller.cpu(), z, resolution, held_out)
    larger.save_pretrained(run / "vae")
    stage.finish(run, "doubling", drawing + seconds, **measured, **settings, steps=steps, seed=seed)


def main(arguments: list[str] | None = None) -> None:
    parser = stage.options(
        "doubling", __doc__, steps=6000, batch=18, lr=2e-3, pictures=4000, seed=28
    )
    add = parser.add_argument
    stage.needs(parser, "--autoencoder", "autoencoder", "decoder", default="autoencoder",
                words="whose latents, and whose decoder is to be doubled")  # fmt: skip
    stage.needs(parser, "--model", *stage.ONE_STEP, default="texture",
                words="a one-step model, for painted latents")  # fmt: skip
    add("--width", type=stage.positive, default=WIDTH, help="channels of the decoder")
    add("--gan", type=float, default=0.1, help="gradient of the GAN relative to the rest; 0 is off")
    add("--paintings", type=stage.positive, default=2048, help="painted latents")
    add("--held-out", type=stage.positive, default=96, help="renders to measure on")
    options = vars(parser.parse_args(arguments))
    train(options.pop("run"), **options)


if __name__ == "__main__":
    stage.command(main)
