"""Sampling with the multi-step model: DPM-Solver++ (2M) with classifier-free guidance."""

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DPMSolverMultistepScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from sdxs.train.models import tokenize


@dataclass(frozen=True)
class Teacher:
    """The multi-step model, frozen. `folder` holds the scheduler that a solver is made from."""

    unet: UNet2DConditionModel
    text: CLIPTextModel
    tokenizer: CLIPTokenizer
    folder: Path

    @classmethod
    def load(cls, folder: Path) -> "Teacher":
        unet = UNet2DConditionModel.from_pretrained(folder / "unet").to(
            memory_format=torch.channels_last
        )
        text = CLIPTextModel.from_pretrained(folder / "text_encoder")
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
        return cls(
            unet.eval().requires_grad_(False), text.eval().requires_grad_(False), tokenizer, folder
        )

    @torch.no_grad()
    def embed(self, texts: list[str]) -> Tensor:
        """(B, L, D) float32."""
        return self.text(tokenize(self.tokenizer, texts)).last_hidden_state

    @torch.no_grad()
    def sample(self, texts: list[str], noise: Tensor, steps: int, guidance: float) -> Tensor:
        """Solve the probability-flow ODE from noise (B, 4, h, w), unit variance, to latents."""
        config = DPMSolverMultistepScheduler.load_config(self.folder / "scheduler")
        solver = DPMSolverMultistepScheduler.from_config(
            config, algorithm_type="dpmsolver++", solver_order=2
        )
        solver.set_timesteps(steps)
        context = torch.cat((self.embed(texts), self.embed([""]).expand(len(texts), -1, -1)))
        x = noise
        for t in solver.timesteps:
            both = torch.cat((x, x)).to(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                v = self.unet(both, t, context, return_dict=False)[0]
            with_text, without = v.float().chunk(2)
            x = solver.step(without + guidance * (with_text - without), t, x, return_dict=False)[0]
        return x
