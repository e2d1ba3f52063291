"""A checkpoint as one safetensors file with Stability's names, read back before it is kept.

What no file of that layout says lies beside it, where `SDXS.load` finds it: tokenizers and
scheduler. Knows nothing of where the file will be.
"""

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm
from transformers import CLIPTokenizer

from sdxs.checkpoint.files import SCHEDULER, TOKENIZER_FILES
from sdxs.checkpoint.layout import Layout, layout_of
from sdxs.checkpoint.networks import (
    AUTOENCODERS,
    UNETS,
    load_autoencoder,
    load_text_encoder,
    load_unet,
)
from sdxs.checkpoint.open import Opened, open_checkpoint
from sdxs.checkpoint.parts import PIPELINES
from sdxs.checkpoint.scheduler import SCHEDULERS
from sdxs.config import VERSION
from sdxs.engines import EAGER
from sdxs.errors import CheckpointError, SDXSError
from sdxs.export import stability
from sdxs.export.compared import LEAST, farthest
from sdxs.export.graphs import CPU
from sdxs.model.engine import Networks
from sdxs.picture import to_pixels
from sdxs.pipeline import SDXS

MARK = "sdxs"  # in the file's own words: what wrote it
PROMPTS, SEEDS = ["a red house", "a blue tree"], [1000, 1001]
SETTINGS = (  # that shapes do not tell, and that change pictures
    "attention_head_dim", "norm_num_groups", "hidden_act", "num_attention_heads", "act_fn",
    "scaling_factor", "upsampling_scaling_factor",
)  # fmt: skip


def write(opened: Opened, dtype: torch.dtype, file: Path) -> None:
    """Write a file, and print how near its pictures are. Raises SDXSError, OSError."""
    name, layout = opened.source.name, layout_of(opened.places.folder)
    with tqdm(total=3, desc="writing", leave=False, disable=None) as bar:
        tensors = {key: each.to(dtype).contiguous() for key, each in _tensors(layout)}
        bar.update()
        save_file(tensors, file, {"format": "pt", MARK: VERSION})
        file.chmod(file.parent.parent.stat().st_mode & 0o666)  # it was for its owner alone
        del tensors
        _beside(layout, file.parent)
        bar.update()
        bar.set_description("comparing")
        try:
            again = open_checkpoint(file, safety=False, device=CPU, dtype=torch.float32)
        except CheckpointError as error:
            raise SDXSError(f"a single file cannot hold {name}: read back, {error}") from None
        exact, near = _compared(opened, again)
    if not (exact if dtype == torch.float32 else near >= LEAST[dtype]):
        because = "; ".join(_differences(opened.networks, again.networks))
        raise SDXSError(
            f"a single file cannot hold {name}: read back, its pictures are {near:.1f} dB away"
            + (f", because {because}" if because else "")
        )
    print(f"{file.name}: {'the same pictures' if exact else f'{near:.1f} dB'}")
    own, read = opened.facts.offer.size, again.facts.offer.size
    if own != read:
        print(f"no file says a size: it is read as one of {read[0]} x {read[1]} pixels")


def is_own(file: Path) -> bool:
    """Whether a file is what an export left."""
    try:
        with safe_open(file, "pt") as stored:
            return MARK in (stored.metadata() or {})
    except (OSError, SafetensorError):
        return False


def _tensors(layout: Layout) -> Iterator[tuple[str, Tensor]]:
    """All tensors of a checkpoint, by Stability's names, as they are stored but in float32."""
    kind: dict[str, Any] = PIPELINES[layout.kind()]
    sdxl, f32 = len(kind) > 1, torch.float32
    unet = load_unet(layout.part("unet", UNETS), f32, sdxl=sdxl)
    yield from _below("model.diffusion_model.", stability.unet(unet.state_dict()))
    for part, above in (("vae", "first_stage_model."), ("vae_large", "vae_large.")):
        if layout.has(part):
            network = load_autoencoder(layout.part(part, AUTOENCODERS), f32).network
            yield from _below(above, stability.autoencoder(network.state_dict()))
    for number, (part, cls) in enumerate(kind.items()):
        encoder: Any = load_text_encoder(layout.part(part, {cls.__name__: cls}), f32, cls)
        reads_clip = number == 0 and (sdxl or not unet.config.use_linear_projection)
        names = stability.clip if reads_clip else stability.open_clip
        above = f"conditioner.embedders.{number}." if sdxl else "cond_stage_model."
        yield from _below(above, names(encoder.state_dict()))


def _below(above: str, tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    return ((above + name, tensor) for name, tensor in tensors.items())


def _beside(layout: Layout, folder: Path) -> None:
    """Tokenizers and scheduler."""
    for name in ("tokenizer", "tokenizer_2")[: len(PIPELINES[layout.kind()])]:
        source, pad = layout.tokenizer(name)
        if pad is None:
            (folder / name).mkdir()
            for file in (file for pattern in TOKENIZER_FILES for file in source.glob(pattern)):
                shutil.copy(file, folder / name)
        else:
            tokenizer = CLIPTokenizer.from_pretrained(source, local_files_only=True)
            tokenizer.pad_token = pad
            tokenizer.save_pretrained(folder / name)
    _, settings = layout.scheduler(SCHEDULERS)
    (folder / SCHEDULER).parent.mkdir()
    (folder / SCHEDULER).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _compared(ours: Opened, theirs: Opened) -> tuple[bool, float]:
    """Whether two checkpoints paint the same to the last bit, and how near, in dB: by each decoder,
    in the size of the first."""
    first, second = (SDXS(each, EAGER, CPU, torch.float32) for each in (ours, theirs))
    exact, near = first.decoders == second.decoders, math.inf
    for decoder in first.decoders if exact else ():
        asked: Any = {"seed": SEEDS, "size": first.size, "decoder": decoder, "output_type": "pt"}
        wanted, found = first(PROMPTS, **asked), second(PROMPTS, **asked)
        exact = exact and torch.equal(wanted, found)
        near = min(near, farthest(to_pixels(found), to_pixels(wanted)))
    return exact, near


def _differences(ours: Networks, theirs: Networks) -> Iterator[str]:
    """Settings that no file of this layout says, and that are read as something else."""
    for name, one, other in (
        ("unet", ours.unet, theirs.unet),
        *((part, each, theirs.text_encoders[part]) for part, each in ours.text_encoders.items()),
        *(
            (f"decoder {part}", each.network, theirs.decoders[part].network)
            for part, each in ours.decoders.items()
        ),
    ):
        for key in SETTINGS:
            own, read = (getattr(each.config, key, None) for each in (one, other))
            if own != read:
                yield f"{key} of the {name} is {own} and is read as {read}"
