"""How much of what captions state the evaluator sees in the pictures painted of them."""

import torch
from diffusers import AutoencoderTiny
from torch import Tensor
from torch.nn import functional as F

from sdxs.storybook.judges.evaluator import Evaluator, Sight, check
from sdxs.storybook.judges.painters import Painter, by_renderer, painted
from sdxs.storybook.judges.tallies import chance, share, tally, wilson
from sdxs.storybook.world.captions import FROZEN, Caption, described, frozen_captions
from sdxs.storybook.world.scenes import HELD_OUT_SEED


@torch.no_grad()
def look(paint: Painter, judge: Evaluator, captions: list[Caption], title: str) -> Sight:
    """Paint every caption, the seed its line number, and look at the pictures."""
    parts = [judge(pictures) for _, pictures in painted(paint, captions, title)]
    return Sight(*(torch.cat(fields) for fields in zip(*parts, strict=True)))


def through(vae: AutoencoderTiny, pictures: Tensor) -> Tensor:
    """What comes back of pictures (B, 3, R, R); encoded smaller where the decoder enlarges."""
    larger = len(vae.config["decoder_block_out_channels"])
    scale = 2 ** (larger - len(vae.config["encoder_block_out_channels"]))
    shown: Tensor = vae.decode(vae.encode(F.avg_pool2d(pictures, scale)).latents).sample
    return shown


def of_renders(
    judge: Evaluator, count: int, resolution: int, vae: AutoencoderTiny | None = None
) -> float:
    """Attribute accuracy of true pictures, of scenes that no stage trains on.

    It is what the judge itself gets right; sent through `vae`, the most that a model can reach.
    """
    scenes, captions = described(count, HELD_OUT_SEED, unseen="any")
    draw = by_renderer(scenes, resolution)

    def paint(prompts: list[str], seeds: list[int]) -> Tensor:
        pictures: Tensor = draw(prompts, seeds)
        return pictures if vae is None else through(vae, pictures)

    title = "renders" if vae is None else "renders through the autoencoder"
    sight = look(paint, judge, captions, title)
    right, total = tally(check(sight, captions))["attribute_accuracy"]
    return right / total


def report(sight: Sight, captions: list[Caption]) -> dict[str, dict[str, float]]:
    """Print the table and return it: share, lower, upper, n and chance, by attribute."""
    blind, table = chance(captions), {}
    print(f"{'':20}{'right':>8}{'95 % interval':>18}{'chance':>9}{'n':>7}")
    for name, (right, count) in tally(check(sight, captions)).items():
        interval = "{:.1%} to {:.1%}".format(*wilson(right, count))
        row = f"{right / max(1, count):8.1%}{interval:>18}{blind[name]:9.1%}{count:7d}"
        print(f"{name.replace('_', ' '):20}{row}")
        table[name] = {**share(right, count), "chance": round(blind[name], 4)}
    return table


def score(paint: Painter, judge: Evaluator, count: int) -> dict[str, dict[str, dict[str, float]]]:
    """Both frozen caption files, `count` captions of each at the most."""
    out = {}
    for name in FROZEN:
        captions = frozen_captions(name)[:count]
        print(f"\n{len(captions)} captions, colour-thing pairs {name} in training")
        out[name] = report(look(paint, judge, captions, name), captions)
    return out
