"""A model on its way and what it paints: in many steps, by DPM-Solver++ (2M) with classifier-free
guidance, or in one."""

import copy
import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, DPMSolverMultistepScheduler, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from sdxs.model.schedule import draw_noise, seeded, x0_from_velocity
from sdxs.storybook.judges.painters import Painter
from sdxs.train.parts.lora import merge_style
from sdxs.train.parts.models import ALPHAS, FACTOR, tokenize
from sdxs.train.run import loop
from sdxs.train.run.machine import DEVICE, placed, predict


def one_step(unet: nn.Module, noise: Tensor, context: Tensor) -> Tensor:
    """The latents that a U-Net reaches from noise (B, 4, h, w) at once, at the last timestep."""
    last = torch.full((len(noise),), len(ALPHAS) - 1, device=noise.device)
    return x0_from_velocity(noise, predict(unet, noise, last, context), last, ALPHAS)


def read_unet(folder: Path) -> UNet2DConditionModel:
    """The U-Net that a stage left, or a checkpoint's, in float32 and ready to learn."""
    return placed(UNet2DConditionModel.from_pretrained(folder / "unet"))


def reader(folder: Path) -> tuple[CLIPTextModel, CLIPTokenizer]:
    """What reads prompts, frozen, in float32: text encoder and tokenizer of a folder."""
    text = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    return text.to(DEVICE).eval().requires_grad_(False), tokenizer


@dataclass(frozen=True)
class Model:
    """U-Net, text encoder and tokenizer, frozen, and the solver for many steps.

    plain: of a model in a style, the one without, which paints from T down to `below` T.
    """

    unet: UNet2DConditionModel
    text: CLIPTextModel
    tokenizer: CLIPTokenizer
    solver: DPMSolverMultistepScheduler
    plain: "Model | None" = None
    below: float = 1.0

    @classmethod
    def load(cls, folder: Path) -> "Model":
        """From what a stage left in its folder, or from a checkpoint; in float32."""
        unet = read_unet(folder)
        text, tokenizer = reader(folder)
        solver = DPMSolverMultistepScheduler.from_config(
            DPMSolverMultistepScheduler.load_config(folder / "scheduler"),
            algorithm_type="dpmsolver++", solver_order=2,
        )  # fmt: skip
        return cls(unet.eval().requires_grad_(False), text, tokenizer, solver)

    @property
    def resolution(self) -> int:
        """Side of its pictures in pixels."""
        return FACTOR * int(self.unet.config["sample_size"])

    @property
    def facts(self) -> dict[str, str]:
        """What a stage records of the model that it learns from, without its style."""
        unet = (self.plain or self).unet
        return {"teacher": loop.fingerprint(unet), "text": loop.fingerprint(self.text)}

    def wearing(self, style: Path, below: float) -> "Model":
        """The same in a style, of which it knows nothing above the timestep `below` T."""
        unet = copy.deepcopy(self.unet)
        merge_style(unet, style)
        return dataclasses.replace(self, unet=unet, plain=self, below=below)

    @torch.no_grad()
    def embed(self, texts: list[str]) -> Tensor:
        """(B, L, D) float32."""
        return self.text(tokenize(self.tokenizer, texts).to(DEVICE)).last_hidden_state

    @torch.no_grad()
    def guided(self, x: Tensor, t: Tensor, context: Tensor, guidance: float) -> Tensor:
        """v (B, 4, h, w) with classifier-free guidance; context: (2 B, L, D), the empty ones last.

        t: one timestep, or (B,). At guidance 1 the empty ones are left out. In a style it is the
        plain model that guides: what words mean was not learnt from the style's few pictures.
        """
        if guidance == 1:
            return predict(self.unet, x, t, context[: len(x)])
        guide = self.plain.unet if self.plain else self.unet
        both = predict(guide, torch.cat((x, x)), t.repeat(2) if t.ndim else t, context)
        with_text, without = both.chunk(2)
        ours = predict(self.unet, x, t, context[: len(x)]) if self.plain else with_text
        return ours + (guidance - 1) * (with_text - without)

    def contexts(self, texts: list[str]) -> Tensor:
        """What `guided` asks for, (2 B, L, D)."""
        return torch.cat((self.embed(texts), self.embed([""]).expand(len(texts), -1, -1)))

    def solver_of(self, steps: int) -> DPMSolverMultistepScheduler:
        """One for a few steps, at its `timesteps`; it keeps a history of one sampling."""
        solver = copy.deepcopy(self.solver)
        solver.set_timesteps(steps)
        return solver

    @torch.no_grad()
    def sample(self, texts: list[str], noise: Tensor, steps: int, guidance: float) -> Tensor:
        """From unit noise (B, 4, h, w) to latents, both on the CPU: the probability-flow ODE."""
        solver = self.solver_of(steps)
        context = self.contexts(texts)
        x = noise.to(DEVICE)
        for t in solver.timesteps:
            early = t >= self.below * solver.config["num_train_timesteps"]
            model = self.plain if self.plain and early else self
            v = model.guided(x, t.to(DEVICE), context, guidance)
            x = solver.step(v, t, x, return_dict=False)[0]
        return x.cpu()


def painter(model: Model, vae: AutoencoderTiny, steps: int, guidance: float) -> Painter:
    """Prompts and seeds to pictures, with the noise that the finished checkpoint would use."""
    side, channels = model.unet.config["sample_size"], model.unet.config["in_channels"]

    def paint(prompts: list[str], seeds: list[int]) -> Tensor:
        noise = draw_noise(seeded(seeds), (channels, side, side))
        latents = model.sample(prompts, noise, steps, guidance).to(DEVICE)
        return vae.decode(latents).sample.detach()

    return paint
