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

from sdxs.storybook.world.scenes import Scene, sample_scenes
from sdxs.train.parts.autoencoders import fidelity, psnr
from sdxs.train.parts.folder import fingerprint, read_folder
from sdxs.train.parts.latents import DATA
from sdxs.train.parts.learner import Learner
from sdxs.train.parts.losses import reconstruction_loss
from sdxs.train.parts.renders import draw_pictures, to_unit
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, fast, placed
from sdxs.train.run.options import RenderOptions, option, positive

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


def crops(pictures: Tensor, scenes: list[Scene], count: int, generator: torch.Generator) -> Tensor:
    """Random crops, four of five around a thing where there are scenes. (count, 3, CROP, CROP) in
    [-1, 1]"""
    size = pictures.shape[-1]
    picked = torch.randint(len(pictures), (count,), generator=generator).tolist()
    numbers = torch.rand(count, 4, generator=generator).tolist()
    out = []
    for index, (a, b, c, d) in zip(picked, numbers, strict=True):
        left, top = a * (size - CROP), b * (size - CROP)
        if scenes and c < 0.8:
            things = scenes[index].things
            thing = things[int(d * len(things))]
            left = (thing.x + (a - 0.5) * 0.3) * size - CROP / 2
            top = (thing.y - thing.height / 2 + (b - 0.5) * 0.3) * size - CROP / 2
        x, y = (int(min(max(v, 0), size - CROP)) for v in (left, top))
        out.append(pictures[index, :, y : y + CROP, x : x + CROP])
    return to_unit(torch.stack(out))


def roughness(z: Tensor) -> Tensor:
    """Mean squared difference of latents (B, C, h, w) from the mean of the 3 x 3 cells around."""
    around = F.avg_pool2d(z, 3, stride=1, padding=1, count_include_pad=False)
    return (z - around).square().mean()


class Options(RenderOptions, steps=9000, batch=16, lr=1.5e-3, pictures=6000, seed=1):
    begin: Path | None = stage.takes(
        "begin with an earlier autoencoder instead of a random one", "autoencoder"
    )
    data: Path | None = option(None, DATA, metavar="FOLDER")
    keep_latents: bool = option(False, "renders keep theirs, so that later stages stay valid")
    artists: int = option(0, "pictures by other artists in each batch, as well", recorded="given")
    width: int = option(48, "channels of a new one's decoder", type=positive, recorded="never")
    held_out: int = option(256, "renders to measure it on", type=positive, recorded="never")


def train(options: Options) -> None:
    """Leave an autoencoder in `run`. Raises TrainingError."""
    artists, keep = options.artists, options.keep_latents
    if artists < 0:
        raise loop.TrainingError("--artists is how many pictures, 0 or more")
    if artists and options.data is not None:
        raise loop.TrainingError("artists redraw renders, not --data: leave one of the two out")
    if keep and options.begin is None:
        raise loop.TrainingError("there are no latents to keep yet: --keep-latents needs --begin")
    torch.manual_seed(options.seed)
    if options.begin is None:
        vae = build(options.width)
    else:
        vae = AutoencoderTiny.from_pretrained(options.begin / "vae")
    facts: dict[str, object] = {"begins_with": loop.fingerprint(vae)}
    kept = placed(copy.deepcopy(vae.encoder).requires_grad_(False)) if keep else None
    vae = placed(vae.train())
    vae.encoder.requires_grad_(not keep or bool(artists))
    learner = Learner("vae", vae, options.lr, weight_decay=1e-3, fused=None)
    scenes: list[Scene] = []
    if options.data is None:
        scenes = sample_scenes(options.pictures, options.seed, unseen="any")
        drawn = draw_pictures(scenes, options.resolution, "renders")
    else:
        drawn, captions = read_folder(options.data, options.resolution)
        facts |= {"pictures": len(drawn), "data": fingerprint(drawn, captions)}
    others = drawn
    if artists:
        rng = random.Random(options.seed)
        others = draw_pictures(scenes, options.resolution, "other artists", rng)

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        target = crops(drawn, scenes, options.batch, generator)
        if artists:
            target = torch.cat((target, crops(others, scenes, artists, generator)))
        target = placed(target)
        moved = torch.zeros((), device=DEVICE)
        with fast():
            z = vae.encoder(target).float()  # (B, 4, 8, 8)
            if kept is not None and artists:  # what renders are encoded to stays what it was
                known = kept(target[: options.batch]).float()
                moved = F.mse_loss(z[: options.batch], known)
                z = torch.cat((known, z[options.batch :]))
            noise = torch.randn(z.shape, generator=generator).to(DEVICE)
            noisy = z + 0.05 * noise
            ours = vae.decoder(noisy)
        loss = reconstruction_loss(ours.float(), target)
        if not keep:  # this loss shapes latents
            with fast():
                small = vae.decoder(F.avg_pool2d(noisy, 2))
            loss = loss + SMALL * reconstruction_loss(small.float(), F.avg_pool2d(target, 2))
        rough = roughness(z)
        mean, std = z.mean((0, 2, 3)), z.std((0, 2, 3))
        unit = mean.square().mean() + (std - 1).square().mean()
        total = loss + 0.02 * unit + ROUGHNESS * rough + KEPT * moved
        learner.update(total, loop.trapezoid(index, options.steps, decay=DECAY))
        measures = {"loss": loss, "unit": unit, "rough": rough, "moved": moved}
        return {name: value.item() for name, value in measures.items()}

    with stage.trained(options, learner.parts, step, facts, flat=1 - DECAY) as measured:
        vae.eval()
        if options.data is None:
            measured |= fidelity(vae, options.resolution, bool(artists), options.held_out)
        else:
            measured["psnr"] = round(psnr(vae, drawn), 2)
        vae.save_pretrained(options.run / "vae")


main = stage.main(Options, train, __name__)
