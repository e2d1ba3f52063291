"""From a folder or a single file to the checked parts of a checkpoint that belong together.

Knows nothing of where they came from, of devices, or of how weights are stored.
"""

import codecs
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from sdxs.checkpoint.files import TOKENIZER_FILES
from sdxs.checkpoint.layout import Layout, layout_of
from sdxs.checkpoint.networks import (
    AUTOENCODERS,
    UNETS,
    load_decoder,
    load_text_encoder,
    load_unet,
)
from sdxs.checkpoint.scheduler import SCHEDULERS, one_step_of
from sdxs.errors import CheckpointError, blaming, one_line
from sdxs.model.engine import Decoder, Networks
from sdxs.model.schedule import OneStep
from sdxs.tokens import PromptReader, PromptReaders

SDXL = "StableDiffusionXLPipeline"
PIPELINES: dict[str, dict[str, Any]] = {  # kind -> folder -> class of a text encoder
    "StableDiffusionPipeline": {"text_encoder": CLIPTextModel},
    SDXL: {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection},
}
DECODER_FOLDERS = {"tiny": "vae", "large": "vae_large"}


def load_parts(place: Path, dtype: torch.dtype) -> tuple[Networks, PromptReaders, OneStep]:
    """A checkpoint in memory, on the CPU, all of it in `dtype`. Raises CheckpointError, one line
    that names file and remedy."""
    layout = layout_of(place)
    kind = _kind(layout)
    sdxl = kind == SDXL
    unet = load_unet(layout.part("unet", UNETS), dtype, sdxl=sdxl)
    encoders, readers = _text(layout, kind, dtype)
    one_step = one_step_of(*layout.scheduler(SCHEDULERS), unet.config.in_channels)
    decoders = {
        name: load_decoder(layout.part(part, AUTOENCODERS), dtype, sdxl=sdxl)
        for name, part in DECODER_FOLDERS.items()
        if name == "tiny" or layout.has(part)
    }
    _check_fit(place, unet, encoders, readers, decoders)
    return Networks(unet, encoders, decoders), PromptReaders(readers), one_step


class Denoising(NamedTuple):
    """A U-Net to train, or to learn from. scheduler: its settings. zeros: whether guidance leads
    away from zeros and not from the empty prompt."""

    unet: UNet2DConditionModel
    scheduler: dict[str, Any]
    zeros: bool


def load_denoising(place: Path, dtype: torch.dtype = torch.float32) -> Denoising:
    """Of a checkpoint, or of what a stage of training left, on the CPU; unlike those of
    `load_parts` it need not do one step. Raises CheckpointError."""
    layout = layout_of(place)
    kind = _kind(layout) if os.path.isfile(layout.index) else _kind_of_parts(layout)
    unet = load_unet(layout.part("unet", UNETS), dtype, sdxl=kind == SDXL)
    _, config = layout.scheduler(SCHEDULERS)
    return Denoising(unet, config, kind == SDXL and layout.zeros())


def load_text(
    place: Path, dtype: torch.dtype = torch.float32
) -> tuple[dict[str, Any], PromptReaders]:
    """What a U-Net is told prompts by, of a checkpoint or of what a stage of training left: text
    encoders by the names of their folders, and their readers. Raises CheckpointError."""
    layout = layout_of(place)
    encoders, readers = _text(layout, _kind_of_parts(layout), dtype)
    return encoders, PromptReaders(readers)


def check_fit(
    place: Path, unet: UNet2DConditionModel, encoders: Mapping[str, Any], readers: PromptReaders
) -> None:
    """Raises CheckpointError, which blames `place`, for a U-Net and text encoders that were never
    made for each other."""
    _check_fit(place, unet, encoders, readers.readers, {})


def _kind_of_parts(layout: Layout) -> str:
    """Of a folder that holds parts and no index."""
    return SDXL if layout.has("text_encoder_2") else "StableDiffusionPipeline"


def _text(
    layout: Layout, kind: str, dtype: torch.dtype
) -> tuple[dict[str, Any], list[PromptReader]]:
    """Text encoders by the names of their folders, and a reader for each."""
    encoders, readers = {}, []
    for name, cls in PIPELINES[kind].items():
        part = layout.part(name, {cls.__name__: cls})
        encoders[name] = load_text_encoder(part, dtype, cls)
        tokenizer = layout.tokenizer(name.replace("text_encoder", "tokenizer"))
        readers.append(load_tokenizer(*tokenizer, encoders[name].config))
    return encoders, readers


def load_tokenizer(folder: Path, pad: str | None, text_config: CLIPTextConfig) -> PromptReader:
    """The tokenizer of a folder with `tokenizer.json`, or with `vocab.json` and `merges.txt`. pad:
    what it pads with, if that is not what it says."""
    files = [folder / "tokenizer.json"]
    if not os.path.isfile(files[0]):
        files = [folder / "vocab.json", folder / "merges.txt"]
    for file in files:
        if not os.path.isfile(file):
            raise CheckpointError(
                f"{file} is missing: a tokenizer is tokenizer.json, or vocab.json and merges.txt"
            )
    with blaming(f"{files[0]} cannot be read"):
        with _without_marks(folder) as place:
            tokenizer = CLIPTokenizer.from_pretrained(str(place), local_files_only=True)
        tokenizer.pad_token = pad or tokenizer.pad_token
        reader = PromptReader.of(tokenizer, text_config.max_position_embeddings)
        highest = max(tokenizer.get_vocab().values())
        reader.ids(["a"])
    if reader.length < 2:
        raise CheckpointError(f"{folder / 'tokenizer_config.json'}: model_max_length is below 2")
    if highest >= text_config.vocab_size:
        raise CheckpointError(
            f"{folder}: the tokenizer has ids up to {highest}, the text encoder knows them up to "
            f"{text_config.vocab_size - 1}: they do not belong together"
        )
    return reader


@contextmanager
def _without_marks(folder: Path) -> Iterator[Path]:
    """A tokenizer's folder; where files begin with a byte-order mark, which transformers does not
    read over, a copy without them."""
    files = [file for pattern in TOKENIZER_FILES for file in folder.glob(pattern)]
    if not any(_begins(file).startswith(codecs.BOM_UTF8) for file in files):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="sdxs-") as copies:
        for file in files:
            text = file.read_bytes().removeprefix(codecs.BOM_UTF8)
            Path(copies, file.name).write_bytes(text)
        yield Path(copies)


def _begins(file: Path) -> bytes:
    with open(file, "rb") as content:
        return content.read(len(codecs.BOM_UTF8))


def _kind(layout: Layout) -> str:
    """Only what this package can draw with goes on; the rest is named for what it is."""
    kind = layout.kind()
    if not isinstance(kind, str) or kind not in PIPELINES:
        yet = " yet" if isinstance(kind, str) and kind.startswith("StableDiffusion") else ""
        raise CheckpointError(
            f"{layout.index}: a checkpoint of the kind {one_line(kind, 60)} is not supported"
            f"{yet}: {' and '.join(PIPELINES)} are"
        )
    return kind


def _check_fit(
    place: Path,
    unet: Any,
    encoders: Mapping[str, Any],
    readers: Sequence[PromptReader],
    decoders: Mapping[str, Decoder],
) -> None:
    """Parts that were never made for each other."""
    problem = ""
    width = sum(network.config.hidden_size for network in encoders.values())
    if unet.config.cross_attention_dim != width:
        problem = (
            f"the U-Net reads text {unet.config.cross_attention_dim} wide, "
            f"the text encoder{'s write' if len(encoders) > 1 else ' writes'} {width}"
        )
    if len({reader.length for reader in readers}) > 1:
        problem = "the tokenizers have windows of different lengths"
    if not isinstance(unet.config.addition_time_embed_dim, int | None):
        problem = "addition_time_embed_dim of the U-Net is not a whole number"
    elif unet.config.addition_embed_type == "text_time":
        pooled = encoders["text_encoder_2"].config.projection_dim
        wide = pooled + 6 * (unet.config.addition_time_embed_dim or 0)
        if unet.config.projection_class_embeddings_input_dim != wide:
            problem = (
                f"the U-Net reads {unet.config.projection_class_embeddings_input_dim} numbers of "
                f"the whole prompt and the size, there are {wide}"
            )
    for name, decoder in decoders.items():
        if not unet.config.in_channels == unet.config.out_channels == decoder.channels:
            problem = (
                f"the U-Net goes from {unet.config.in_channels} to {unet.config.out_channels} "
                f"latent channels, the {name} decoder reads {decoder.channels}"
            )
        if decoder.factor != decoders["tiny"].factor:
            problem = "the decoders enlarge differently"
    if problem:
        raise CheckpointError(f"{place}: {problem}: these parts do not belong together")
