"""Tiny seeded checkpoints in diffusers' layout, written by diffusers itself; no test downloads."""

import copy
import functools
import json
import random
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

torch.set_num_threads(1)

WINDOW = 16  # tokens, the start and the end included
WORDS = [
    "a",
    "red",
    "green",
    "blue",
    "house",
    "tree",
    "ball",
    "at",
    "sunset",
    "night",
    "and",
    "big",
]


@pytest.fixture(autouse=True)
def no_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any connection but to this machine fails, and no test sees the user's own settings."""
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"a test tried to reach {address}")
        real(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    for name in ("SDXS_CHECKPOINT", "SDXS_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)


def tiny_tokenizer() -> Any:
    """A CLIP tokenizer of single bytes and a few whole words."""
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = letters + [letter + "</w>" for letter in letters]
    merges = []
    for word in WORDS:
        left = word[0] if len(word) > 1 else None
        for letter in word[1:-1]:
            merges.append((left, letter))
            left = f"{left}{letter}"
        if left:
            merges.append((left, word[-1] + "</w>"))
    merges = list(dict.fromkeys(merges))
    vocab += list(dict.fromkeys(left + right for left, right in merges))
    vocab += ["<|startoftext|>", "<|endoftext|>"]
    ids = {token: index for index, token in enumerate(vocab)}
    return CLIPTokenizer(vocab=ids, merges=merges, model_max_length=WINDOW)


def tiny_scheduler(name: str = "ddpm", **settings: Any) -> Any:
    """A scheduler as people save it with a one-step model."""
    import diffusers

    classes = {
        "ddpm": diffusers.DDPMScheduler,
        "ddim": functools.partial(diffusers.DDIMScheduler, clip_sample=False),
        "deis": diffusers.DEISMultistepScheduler,
        "euler": diffusers.EulerDiscreteScheduler,
        "ancestral": diffusers.EulerAncestralDiscreteScheduler,
        "dpm": diffusers.DPMSolverMultistepScheduler,
        "lcm": diffusers.LCMScheduler,
        "unipc": diffusers.UniPCMultistepScheduler,
        "pndm": diffusers.PNDMScheduler,
    }
    sd = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    return classes[name](**({**sd, "steps_offset": 1, "timestep_spacing": "trailing"} | settings))


def build_checkpoint(
    folder: Path, scheduler: Any = None, *, seed: int = 0, large: bool = False
) -> Path:
    """A random checkpoint of the SD 1.5 kind, 64 px, with the layout of SDXS-512."""
    from diffusers import AutoencoderKL, AutoencoderTiny, StableDiffusionPipeline
    from diffusers import UNet2DConditionModel as UNet
    from transformers import CLIPTextConfig, CLIPTextModel

    tokenizer = tiny_tokenizer()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        unet = UNet(
            sample_size=8,
            block_out_channels=(16, 32, 32),
            layers_per_block=1,
            mid_block_type=None,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=32,
            attention_head_dim=2,
            norm_num_groups=8,
        )
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                max_position_embeddings=WINDOW,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
        vae = AutoencoderTiny(
            encoder_block_out_channels=(8, 8, 8, 8), decoder_block_out_channels=(8, 8, 8, 8)
        )
        vae_large = AutoencoderKL(
            block_out_channels=(8, 8, 8, 8),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            norm_num_groups=4,
            shift_factor=0.1,
        )
        vae.decoder.layers[-1].weight.data.mul_(10)  # pictures with light and shade
        vae.decoder.layers[-1].bias.data.fill_(0.5)
    StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=copy.deepcopy(scheduler)
        or tiny_scheduler("ddim", prediction_type="v_prediction"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    if scheduler is not None:  # the pipeline turns clipping off: keep what was asked for
        scheduler.save_pretrained(folder / "scheduler")
    if large:
        vae_large.save_pretrained(folder / "vae_large")
    return folder


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny seeded checkpoint: 64 px, v-prediction, both decoders."""
    return build_checkpoint(tmp_path_factory.mktemp("tiny") / "tiny", large=True)


@pytest.fixture(scope="session")
def tiny_model(tiny_checkpoint: Path) -> Any:
    from sdxs import SDXS

    return SDXS.load(tiny_checkpoint, device="cpu", dtype="float32")


@pytest.fixture
def edited(tiny_checkpoint: Path, tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """`edited("unet/config.json", sample_size=3)`: a copy of the checkpoint with other settings."""
    import shutil

    folder = tmp_path / "edited"
    shutil.copytree(tiny_checkpoint, folder)

    def edit(file: str | None = None, **settings: Any) -> Path:
        if file:
            config = json.loads((folder / file).read_text())
            (folder / file).write_text(json.dumps(config | settings))
        return folder

    yield edit


def seeded_prompts(count: int, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=5)) for _ in range(count)]
