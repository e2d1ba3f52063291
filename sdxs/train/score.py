"""Score the multi-step model on the frozen captions, with the noise of the same seeds."""

import argparse
import json

from diffusers import AutoencoderTiny
from torch import Tensor

from sdxs.schedule import draw_noise, seeded
from sdxs.storybook.evaluate import score
from sdxs.train import loop
from sdxs.train.solver import Teacher


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teacher", type=loop.made_by("teacher"), default="runs/teacher")
    parser.add_argument(
        "--autoencoder", type=loop.made_by("autoencoder"), default="runs/autoencoder/vae"
    )
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--count", type=int, default=1000, help="captions of each file")
    options = parser.parse_args(arguments)
    teacher = Teacher.load(options.teacher)
    vae = AutoencoderTiny.from_pretrained(options.autoencoder).eval()
    side, channels = teacher.unet.config["sample_size"], teacher.unet.config["in_channels"]

    def paint(prompts: list[str], seeds: list[int]) -> Tensor:
        noise = draw_noise(seeded(seeds), (channels, side, side))
        latents = teacher.sample(prompts, noise, options.steps, options.guidance)
        pictures: Tensor = vae.decode(latents).sample.detach()
        return pictures

    scores = score(paint, options.count)
    print(json.dumps({"teacher": str(options.teacher), "steps": options.steps, **scores}))


if __name__ == "__main__":
    loop.command(main)
