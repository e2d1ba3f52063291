"""Stage V: the autoencoder. 8x smaller, 4 latent channels of about unit variance.

diffusers' AutoencoderTiny, trained on crops of renders, most of them around things, with
L1 + L1 of gradients at three scales. Noise on the latents and a pull towards mean 0 and
deviation 1 stand in for the KL term.

Latents that hold much detail and little colour reconstruct well and are hard to learn to paint:
so the decoder must also paint the small picture from the small latents (EQ-VAE, arXiv
2502.09509), and what differs from one latent cell to the next is held down.

With `--artists N`, pictures by many artists (`storybook.world.artists`) are learnt beside the
renders, as Stable Diffusion's autoencoder has seen pictures of every kind: a style needs latents of
its own.
"""

import copy
import random
from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from sdxs.storybook.world.artists import ARTISTS, Artist, any_artist, redraw
from sdxs.storybook.world.render import render
from sdxs.storybook.world.scenes import HELD_OUT_SEED, Scene, sample_scenes
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, fast, placed

CROP = 64  # pixels
DECAY = 0.5  # share of the steps over which the learning rate falls to zero
SMALL = 0.5  # weight of the loss at half the size
ROUGHNESS = 0.03  # weight of what differs between a latent cell and its neighbours
KEPT = 10.0  # weight of the squared distance of a render's latents from those to be kept


def build(width: int = 48) -> AutoencoderTiny:
    """The encoder has two thirds of the decoder's width; most blocks work at low resolution."""
    encoder = width * 2 // 3
    return AutoencoderTiny(
        encoder_block_out_channels=(encoder,) * 4,
        decoder_block_out_channels=(width,) * 4,
        num_encoder_blocks=(1, 2, 2, 2),
        num_decoder_blocks=(3, 4, 2, 1),
        scaling_factor=1.0,
    )


def draw_pictures(
    scenes: list[Scene], resolution: int, title: str, artists: random.Random | None = None
) -> Tensor:
    """Render scenes to bytes, by another artist every few if `artists` picks one. (N, 3, R, R)"""
    parts = []
    some = 32 if artists is None else 8
    for i in tqdm(range(0, len(scenes), some), desc=title, dynamic_ncols=True, mininterval=2):
        drawn = render(scenes[i : i + some], resolution)
        picture = drawn.picture if artists is None else redraw(drawn, any_artist(artists))
        parts.append(((picture + 1) * 127.5).round().clamp(0, 255).byte())
    return torch.cat(parts)


def to_unit(pictures: Tensor) -> Tensor:
    """uint8 to [-1, 1]."""
    return pictures.float() / 127.5 - 1


@torch.no_grad()
def encoded(vae: AutoencoderTiny, pictures: Tensor) -> Tensor:
    """uint8 pictures (N, 3, R, R) to latents (N, 4, R / 8, R / 8) float32."""
    parts = []
    for some in pictures.split(32):
        with fast():
            z = vae.encoder(to_unit(some).to(DEVICE, memory_format=torch.channels_last))
        parts.append(z.float().cpu().contiguous())
    return torch.cat(parts)


def crops(pictures: Tensor, scenes: list[Scene], count: int, generator: torch.Generator) -> Tensor:
    """Random crops, four of five around a thing. (count, 3, CROP, CROP) in [-1, 1]"""
    size = pictures.shape[-1]
    picked = torch.randint(len(scenes), (count,), generator=generator).tolist()
    numbers = torch.rand(count, 4, generator=generator).tolist()
    out = []
    for index, (a, b, c, d) in zip(picked, numbers, strict=True):
        left, top = a * (size - CROP), b * (size - CROP)
        if c < 0.8:
            things = scenes[index].things
            thing = things[int(d * len(things))]
            left = (thing.x + (a - 0.5) * 0.3) * size - CROP / 2
            top = (thing.y - thing.height / 2 + (b - 0.5) * 0.3) * size - CROP / 2
        x, y = (int(min(max(v, 0), size - CROP)) for v in (left, top))
        out.append(pictures[index, :, y : y + CROP, x : x + CROP])
    return to_unit(torch.stack(out))


def reconstruction_loss(ours: Tensor, target: Tensor) -> Tensor:
    """L1 plus L1 of horizontal and vertical differences at three scales."""
    loss = (ours - target).abs().mean()
    for _ in range(3):
        for dim in (-1, -2):
            loss = loss + (ours.diff(dim=dim) - target.diff(dim=dim)).abs().mean()
        ours, target = F.avg_pool2d(ours, 2), F.avg_pool2d(target, 2)
    return loss


def roughness(z: Tensor) -> Tensor:
    """Mean squared difference of latents (B, C, h, w) from the mean of the 3 x 3 cells around."""
    around = F.avg_pool2d(z, 3, stride=1, padding=1, count_include_pad=False)
    return (z - around).square().mean()


@torch.no_grad()
def box_psnr(
    vae: AutoencoderTiny, resolution: int, count: int = 256, artist: Artist | None = None
) -> tuple[float, float]:
    """PSNR in dB on held-out renders, or an artist's: whole pictures, and in the things' boxes."""
    scenes = sample_scenes(count, HELD_OUT_SEED, unseen="any")
    errors, inside = [], []
    for i in range(0, count, 32):
        batch = render(scenes[i : i + 32], resolution, vae.device)
        picture = batch.picture if artist is None else redraw(batch, artist)
        ours = vae.decode(vae.encode(picture).latents).sample.clamp(-1, 1)
        error = ((ours - picture) / 2).square().mean(1)  # (B, R, R)
        for j, scene in enumerate(scenes[i : i + 32]):
            errors.append(error[j].flatten())
            for t in scene.things:
                x0, x1 = (t.x - t.height / 2) * resolution, (t.x + t.height / 2) * resolution
                y0, y1 = (t.y - t.height) * resolution, t.y * resolution
                inside.append(
                    error[j, max(0, int(y0)) : int(y1), max(0, int(x0)) : int(x1)].flatten()
                )
    whole, boxed = (-10 * torch.cat(parts).mean().log10() for parts in (errors, inside))
    return whole.item(), boxed.item()


def train(
    run: Path,
    *,
    begin: Path | None = None,
    keep_latents: bool = False,
    artists: int = 0,
    steps: int,
    batch: int,
    width: int,
    pictures: int,
    lr: float,
    seed: int,
    resolution: int,
    save_seconds: float = 180.0,
) -> None:
    """Leave an autoencoder in `run`.

    begin: an earlier one to go on from. keep_latents: those of renders. artists: pictures by other
    artists in each batch, beside the renders. width: of a new one. Raises TrainingError.
    """
    if artists < 0:
        raise loop.TrainingError("--artists is how many pictures, 0 or more")
    if keep_latents and begin is None:
        raise loop.TrainingError("there are no latents to keep yet: --keep-latents needs --begin")
    torch.manual_seed(seed)
    vae = build(width) if begin is None else AutoencoderTiny.from_pretrained(begin / "vae")
    begins_with = loop.fingerprint(vae)
    kept = placed(copy.deepcopy(vae.encoder).requires_grad_(False)) if keep_latents else None
    vae = placed(vae.train())
    vae.encoder.requires_grad_(not keep_latents or bool(artists))
    trained = [weight for weight in vae.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=lr, betas=(0.9, 0.99), weight_decay=1e-3)
    scenes = sample_scenes(pictures, seed, unseen="any")
    drawn = draw_pictures(scenes, resolution, "renders")
    others = drawn
    if artists:
        others = draw_pictures(scenes, resolution, "other artists", random.Random(seed))

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        loop.set_lr(optimizer, lr * loop.trapezoid(index, steps, decay=DECAY))
        target = crops(drawn, scenes, batch, generator)
        if artists:
            target = torch.cat((target, crops(others, scenes, artists, generator)))
        target = target.to(DEVICE, memory_format=torch.channels_last)
        moved = torch.zeros((), device=DEVICE)
        with fast():
            z = vae.encoder(target).float()  # (B, 4, 8, 8)
            if kept is not None and artists:  # what renders are encoded to stays what it was
                known = kept(target[:batch]).float()
                moved = F.mse_loss(z[:batch], known)
                z = torch.cat((known, z[batch:]))
            noise = torch.randn(z.shape, generator=generator).to(DEVICE)
            noisy = z + 0.05 * noise
            ours = vae.decoder(noisy)
        loss = reconstruction_loss(ours.float(), target)
        if not keep_latents:  # this loss shapes latents
            with fast():
                small = vae.decoder(F.avg_pool2d(noisy, 2))
            loss = loss + SMALL * reconstruction_loss(small.float(), F.avg_pool2d(target, 2))
        rough = roughness(z)
        mean, std = z.mean((0, 2, 3)), z.std((0, 2, 3))
        unit = mean.square().mean() + (std - 1).square().mean()
        optimizer.zero_grad(set_to_none=True)
        (loss + 0.02 * unit + ROUGHNESS * rough + KEPT * moved).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        measures = {"loss": loss, "unit": unit, "rough": rough, "moved": moved}
        return {name: value.item() for name, value in measures.items()}

    settings = {
        "begins_with": begins_with,
        "keep_latents": keep_latents,
        "batch": batch,
        "pictures": pictures,
        "lr": lr,
        "resolution": resolution,
    } | ({"artists": artists} if artists else {})
    seconds = loop.run(
        run, {"vae": vae, "optimizer": optimizer}, step, steps=steps, seed=seed,
        settings=settings, title="autoencoder", save_seconds=save_seconds, flat=1 - DECAY,
    )  # fmt: skip
    vae.eval()
    whole, boxed = box_psnr(vae, resolution)
    vae.save_pretrained(run / "vae")
    measured = {"psnr": round(whole, 2), "psnr_in_boxes": round(boxed, 2)}
    if artists:
        measured |= {
            f"psnr_{name}": round(box_psnr(vae, resolution, artist=artist)[0], 2)
            for name, artist in ARTISTS.items()
        }
    stage.finish(run, "autoencoder", seconds, **measured, **settings, steps=steps, seed=seed)


def main(arguments: list[str] | None = None) -> None:
    parser = stage.options(
        "autoencoder", __doc__,
        steps=9000, batch=16, lr=1.5e-3, pictures=6000, resolution=128, seed=1,
    )  # fmt: skip
    add = parser.add_argument
    stage.needs(parser, "--begin", "autoencoder",
                words="begin with an earlier autoencoder instead of a random one")  # fmt: skip
    add("--keep-latents", action="store_true",
        help="renders keep theirs, so that later stages stay valid")  # fmt: skip
    add("--artists", type=int, default=0, help="pictures by other artists in each batch, as well")
    add("--width", type=stage.positive, default=48, help="channels of a new one's decoder")
    options = vars(parser.parse_args(arguments))
    train(options.pop("run"), **options)


if __name__ == "__main__":
    stage.command(main)
