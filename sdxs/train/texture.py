"""Stage e2: texture (paper, section 3.3). A short GAN fine-tune of a LoRA of very low rank.

Feature matching leaves pictures smooth. A discriminator on frozen features (Projected GAN, as in
StyleGAN-T, arXiv 2301.09515, and ADD, arXiv 2311.17042) tells the one-step model's latents from the
multi-step model's; its features are those of the offline U-Net's down blocks, at two noise levels,
and it reads the prompt. So few weights can change that what stands where cannot. They are added to
the U-Net at the end.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from sdxs.model.schedule import add_noise
from sdxs.train.pairs import Pairs
from sdxs.train.parts.features import encoder_of, of_unet
from sdxs.train.parts.lora import lora, merged
from sdxs.train.parts.losses import feature_matching, hinge, steepness, unmasked
from sdxs.train.parts.models import build_scheduler
from sdxs.train.parts.solver import Model, one_step
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, fast, placed, short_attention

LEVELS = (20, 300)  # timesteps at which latents are looked at
TARGETS = r".*(to_q|to_k|to_v|to_out\.0|conv1|conv2)"
PENALTY = 0.1  # of the gradient on real features (R1)


class Heads(nn.Module):
    """Logits, one map per feature map, of whether latents are real; they read the prompt too."""

    def __init__(self, channels: Sequence[int], text: int, width: int = 64) -> None:
        super().__init__()
        self.looks = nn.ModuleList(
            nn.Sequential(
                nn.GroupNorm(1, size, affine=False),
                nn.Conv2d(size, width, 1), nn.LeakyReLU(0.2),
                nn.Conv2d(width, width, 3, 1, 1), nn.LeakyReLU(0.2),
            )
            for size in channels
        )  # fmt: skip
        self.plain = nn.ModuleList(nn.Conv2d(width, 1, 1) for _ in channels)
        self.reads = nn.ModuleList(nn.Linear(text, width) for _ in channels)

    def forward(self, features: Sequence[Tensor], words: Tensor) -> list[Tensor]:
        """features: (B, size, h, w) each. words: (B, D), a caption's last state."""
        out = []
        for look, plain, read, feature in zip(
            self.looks, self.plain, self.reads, features, strict=True
        ):
            h = look(feature)
            match = (h * read(words)[:, :, None, None]).mean(1, keepdim=True)  # projection
            out.append(plain(h) + match)
        return out


def train(
    run: Path,
    *,
    teacher: Path,
    pairs: Path,
    begin: Path,
    steps: int,
    batch: int,
    lr: float,
    rank: int,
    gan: float,
    seed: int,
    save_seconds: float = 180.0,
) -> None:
    """Leave a one-step model in `run`.

    rank: of the LoRA. gan: weight of the adversarial loss beside eq. 10. Raises TrainingError.
    """
    model, data = Model.load(teacher), Pairs(pairs)
    student = placed(UNet2DConditionModel.from_pretrained(begin / "unet"))
    begins_with = loop.fingerprint(student)
    torch.manual_seed(seed)
    weights = lora(student, rank, TARGETS, "texture")
    sizes = model.unet.config["block_out_channels"] * len(LEVELS)
    heads = Heads(sizes, model.text.config.hidden_size).to(DEVICE)
    optimizers = {
        "student": torch.optim.AdamW(weights, lr=0.0, betas=(0.0, 0.99), weight_decay=0.0),
        "heads": torch.optim.AdamW(heads.parameters(), lr=0.0, betas=(0.0, 0.99)),
    }
    ema = EMAModel(weights, decay=0.99)
    alphas = build_scheduler().alphas_cumprod
    encode = encoder_of(None, model.unet)

    def look(x0: Tensor, noise: Tensor, context: Tensor) -> list[Tensor]:
        """What the offline U-Net sees in latents, at each of the levels."""
        out = []
        for level in LEVELS:
            t = torch.full((len(x0),), level, device=DEVICE)
            with fast():
                out += of_unet(model.unet, add_noise(x0, noise, t, alphas), t, context)
        return [feature.float() for feature in out]

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        factor = loop.trapezoid(index, steps, warmup=20)
        loop.set_lr(optimizers["student"], lr * factor)
        loop.set_lr(optimizers["heads"], 10 * lr * factor)
        noise, target, texts = data.batch(batch, generator)
        fresh = torch.randn(noise.shape, generator=generator)
        noise, target, fresh = (part.to(DEVICE) for part in (noise, target, fresh))
        context = model.embed(texts)  # (B, L, D)
        words = context[:, -1]
        ours = one_step(student, noise, context, alphas)

        with torch.no_grad():
            seen, made = (look(x0, fresh, context) for x0 in (target, ours))
        seen = [feature.requires_grad_() for feature in seen]
        reals, fakes = heads(seen, words), heads(made, words)
        penalty = steepness(reals, seen)
        judged = hinge(reals, fakes)
        (judged + PENALTY * penalty).backward()
        update("heads")

        heads.requires_grad_(False)
        adversarial = unmasked(heads(look(ours, fresh, context), words))
        with fast():
            matching = feature_matching(encode, ours, target, context)
        with short_attention():
            (gan * adversarial + matching).backward()
        heads.requires_grad_(True)
        nn.utils.clip_grad_norm_(weights, 1.0)
        update("student")
        ema.step(weights)
        return {"judged": judged.item(), "matching": matching.item(), "penalty": penalty.item()}

    def update(name: str) -> None:
        optimizers[name].step()
        optimizers[name].zero_grad(set_to_none=True)

    settings = {
        "begins_with": begins_with,
        "teacher": loop.fingerprint(model.unet),
        "text": loop.fingerprint(model.text),
        "pairs": {**data.settings, "count": len(data.prompts)},
        "batch": batch,
        "lr": lr,
        "rank": rank,
        "gan": gan,
    }
    parts = {
        "student": student,
        "heads": heads,
        "student_optimizer": optimizers["student"],
        "heads_optimizer": optimizers["heads"],
        "ema": ema,
    }
    seconds = loop.run(
        run, parts, step, steps=steps, seed=seed, settings=settings, title="texture",
        save_seconds=save_seconds, flat=1 - loop.DECAY,
    )  # fmt: skip
    ema.copy_to(weights)
    merged(student).save_pretrained(run / "unet")
    stage.hand_on(teacher, run)
    stage.finish(run, "texture", seconds, **settings, steps=steps, seed=seed)


def main(arguments: list[str] | None = None) -> None:
    parser = stage.options("texture", __doc__, steps=400, batch=32, lr=1e-4, seed=11)
    add = parser.add_argument
    stage.needs(parser, "--teacher", *stage.MULTI_STEP, default="blocks",
                words="whose features tell the two apart")  # fmt: skip
    stage.needs(parser, "--pairs", "pairs", default="pairs", words="its noises and pictures")
    stage.needs(parser, "--begin", *stage.ONE_STEP, default="distill",
                words="the one-step U-Net to begin with")  # fmt: skip
    add("--rank", type=stage.positive, default=4, help="of the LoRA")
    add("--gan", type=float, default=0.02, help="weight of the GAN beside eq. 10")
    options = vars(parser.parse_args(arguments))
    train(options.pop("run"), **options)


if __name__ == "__main__":
    stage.command(main)
