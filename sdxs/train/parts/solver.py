"""A model on its way and what it paints: in many steps, by DPM-Solver++ (2M) with classifier-free
guidance, or in one."""

import copy
import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, DPMSolverMultistepScheduler
from torch import Tensor, nn

from sdxs.checkpoint.parts import check_fit, load_denoising
from sdxs.model.schedule import draw_noise, seeded
from sdxs.model.text import Words
from sdxs.storybook.judges.painters import Painter
from sdxs.train.parts.denoiser import Denoiser, read_denoiser
from sdxs.train.parts.lora import merge
from sdxs.train.parts.schedule import Schedule
from sdxs.train.parts.text_encoders import TextEncoders
from sdxs.train.parts.worn import Worn
from sdxs.train.run import loop
from sdxs.train.run.loop import TrainingError
from sdxs.train.run.machine import DEVICE, placed

NOISE = 0.9  # correlation with pure noise from which on a U-Net predicts it


@dataclass(frozen=True)
class Model(Denoiser):
    """The same with what reads prompts, all frozen, and the solver for many steps.

    zeros: whether guidance leads away from zeros, as SDXL's does, not from the empty prompt.
    plain: of a model in a style, the one without, which paints from T down to `below` T. guide: who
    guides in its place, where a stage learnt the style: the one without.
    """

    text: TextEncoders
    solver: DPMSolverMultistepScheduler
    zeros: bool = False
    plain: "Model | None" = None
    guide: "Model | None" = None
    below: float = 1.0

    @classmethod
    def load(cls, folder: Path, text: Path | None = None) -> "Model":
        """From what a stage left in its folder, or from a checkpoint; in float32.

        text: a folder whose text encoders are read instead. Raises CheckpointError, TrainingError.
        """
        unet, config, zeros = load_denoising(folder)
        read = TextEncoders.load(text or folder)
        check_fit(text or folder, unet, read.networks, read.readers)
        solver = DPMSolverMultistepScheduler.from_config(
            config, algorithm_type="dpmsolver++", solver_order=2,
            timestep_spacing="trailing", use_karras_sigmas=False,
        )  # fmt: skip
        model = cls(placed(unet), Schedule.of(config), read, solver, zeros)
        model.check_prediction(folder)
        return model

    @property
    def networks(self) -> dict[str, nn.Module]:
        """All of them, by the names of their folders."""
        return {"unet": self.unet, **self.text.networks}

    @torch.no_grad()
    def check_prediction(self, folder: Path) -> None:
        """Raises TrainingError for a U-Net that predicts noise where the scheduler states another
        thing: of noise alone it says that it is noise."""
        if self.schedule.prediction == "epsilon":
            return
        noise = draw_noise(seeded([0]), self.latent_shape).to(DEVICE)
        t = torch.tensor(self.schedule.last, device=DEVICE)
        said = self.predict(noise, t, self.embed([""]))
        if torch.corrcoef(torch.stack((noise.flatten(), said.flatten())))[0, 1] > NOISE:
            raise TrainingError(
                f"{folder}: its U-Net predicts noise, and its scheduler states the prediction_type "
                f"{self.schedule.prediction}: set epsilon in scheduler/scheduler_config.json"
            )

    def fit(self, folder: Path) -> Denoiser:
        """The U-Net of another folder, ready to learn (`read_denoiser`), if it paints the same
        latents of the same prompts. Raises TrainingError."""
        other = read_denoiser(folder)
        mine, theirs = self.unet.config, other.unet.config
        for name, what in (
            ("cross_attention_dim", "reads text so wide"),
            ("projection_class_embeddings_input_dim", "reads so many numbers of the whole prompt"),
            ("in_channels", "has so many latent channels"),
            ("sample_size", "paints so many latents along a side"),
        ):
            if mine[name] != theirs[name]:
                raise TrainingError(
                    f"{folder} {what}: {theirs[name]}, the multi-step model {mine[name]}: they are "
                    "not of one kind"
                )
        if not torch.equal(self.schedule.alphas, other.schedule.alphas):
            raise TrainingError(f"{folder} was trained on other noise than the multi-step model")
        return other

    @property
    def facts(self) -> dict[str, str]:
        """What a stage records of the model that it learns from, without its style."""
        plain = self.plain or self
        return {"teacher": loop.fingerprint(plain.unet), "text": plain.text.fingerprint}

    def wearing(self, style: Worn) -> "Model":
        """The same in a style, of which it knows nothing above the timestep `below` T."""
        unet = copy.deepcopy(self.unet)
        merge(unet, style.unet)
        text, guide = self.text.wearing(style.heard), self if style.ours else None
        return dataclasses.replace(
            self, unet=unet, text=text, plain=self, guide=guide, below=style.below
        )

    def embed(self, texts: list[str]) -> Words:
        """What the U-Net reads of prompts, float32."""
        return self.text.embed(texts)

    @property
    def nothing(self) -> Words:
        """What guidance leads away from, one row."""
        empty = self.embed([""])
        if not self.zeros or empty.pooled is None:
            return empty
        return Words(torch.zeros_like(empty.states), torch.zeros_like(empty.pooled))

    @torch.no_grad()
    def guided(self, x: Tensor, t: Tensor, words: Words, guidance: float) -> Tensor:
        """What `predict` gives, with classifier-free guidance; words: of 2 B, the empty ones last.

        At guidance 1 the empty ones are left out. In a style that a stage learnt it is the plain
        model that guides: what words mean was not learnt from the style's few pictures.
        """
        if guidance == 1:
            return self.predict(x, t, words.rows(slice(len(x))))
        guide = self.guide or self
        both = guide.predict(torch.cat((x, x)), t.repeat(2) if t.ndim else t, words)
        with_text, without = both.chunk(2)
        ours = self.predict(x, t, words.rows(slice(len(x)))) if self.guide else with_text
        return ours + (guidance - 1) * (with_text - without)

    def both(self, words: Words) -> Words:
        """What `guided` asks for, of 2 B."""
        return Words.joined([words, self.nothing.repeated(len(words.states))])

    def solver_of(self, steps: int) -> DPMSolverMultistepScheduler:
        """One for a few steps, at its `timesteps`; it keeps a history of one sampling."""
        solver = copy.deepcopy(self.solver)
        solver.set_timesteps(steps)
        return solver

    @torch.no_grad()
    def sample(self, texts: list[str], noise: Tensor, steps: int, guidance: float) -> Tensor:
        """From unit noise (B, C, h, w) to latents, both on the CPU: the probability-flow ODE."""
        solver = self.solver_of(steps)
        words = self.both(self.embed(texts))
        x = noise.to(DEVICE)
        for t in solver.timesteps:
            early = t >= self.below * solver.config["num_train_timesteps"]
            model = self.plain if self.plain and early else self
            said = model.guided(x, t.to(DEVICE), words, guidance)
            x = solver.step(said, t, x, return_dict=False)[0]
        return x.cpu()


def painter(model: Model, vae: AutoencoderTiny, steps: int, guidance: float) -> Painter:
    """Prompts and seeds to pictures, with the noise that the finished checkpoint would use."""

    def paint(prompts: list[str], seeds: list[int]) -> Tensor:
        noise = draw_noise(seeded(seeds), model.latent_shape)
        latents = model.sample(prompts, noise, steps, guidance).to(DEVICE)
        return vae.decode(latents).sample.detach()

    return paint
