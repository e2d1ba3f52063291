"""What every stage holds in memory: its networks, and which of them learn.

A function a command, in `ROWS`: from its options to its networks, on the meta device; the settings
of what it will leave are put in its folder. Knows nothing of recipes, nor of bytes: `footprint`.
"""

from collections.abc import Callable
from typing import Any

import torch
from diffusers import AutoencoderTiny
from torch import nn

from sdxs.storybook.world.tokenizer import build_tokenizer
from sdxs.train.parts import blueprints, features, models
from sdxs.train.parts.autoencoders import Autoencoder, with_decoder
from sdxs.train.parts.block_removal import removal
from sdxs.train.parts.blueprints import built, put, unet, with_lora
from sdxs.train.parts.controlled import full_control, slim_control
from sdxs.train.parts.footprint import Held, count, frozen, learns
from sdxs.train.parts.held import Networks, beside, left, model, own, reads, supervised, words
from sdxs.train.parts.reading import Reader
from sdxs.train.parts.shown import PATCH
from sdxs.train.run import stage


def text(asked: Any) -> Networks:
    preset, kinds = models.PRESETS[asked.preset], own("text", "HEADS").values()
    with torch.device("meta"):
        encoder = models.build_text_encoder(preset, build_tokenizer())
        read = nn.Linear(preset.text_width, sum(len(kind) + 1 for kind in kinds))
    encoder.config.save_pretrained(asked.run / "text_encoder")
    yield learns("model", nn.ModuleList([encoder, read]))


def autoencoder(asked: Any) -> Networks:
    new = built(own("autoencoder", "build"), asked.width)
    vae = blueprints.autoencoder(asked.begin) if asked.begin else new
    put(asked.run, "vae", vae)
    if asked.keep_latents:
        yield frozen("kept", vae.encoder)
        vae.encoder.requires_grad_(bool(asked.artists))
    yield learns("vae", vae)


def teacher(asked: Any) -> Networks:
    preset = models.PRESETS[asked.preset]
    with torch.device("meta"):
        network = models.LAYOUTS[asked.layout](preset, asked.resolution)
    left(asked.run, network, asked.text)
    yield learns("unet", network, mean=True)
    if not asked.data:
        yield learns("head", built(own("teacher", "Head"), preset.channels[-1]))
    yield from words(asked.text)


def blocks(asked: Any) -> Networks:
    yield from model(asked.teacher, asked.text)
    tiny = blueprints.made(type(unet(asked.teacher)), removal(unet(asked.teacher).config).config)
    left(asked.run, tiny, asked.text or asked.teacher)
    yield learns("student", tiny, mean=True)


def straighten(asked: Any) -> Networks:
    yield from model(asked.teacher, asked.text)
    student = unet(asked.teacher)
    left(asked.run, student, asked.text or asked.teacher)
    yield learns("student", student, mean=True)
    yield frozen("slow", student)


def pairs(asked: Any) -> Networks:
    yield from model(asked.teacher, asked.text)
    if asked.style:
        yield frozen("plain unet", unet(asked.teacher))


def decoder(asked: Any) -> Networks:
    larger = blueprints.autoencoder(asked.autoencoder)
    yield frozen("autoencoder", larger)
    if asked.painted_by:
        yield frozen("painter", blueprints.autoencoder(asked.painted_by))
    with torch.device("meta"):
        tiny = own("decoder", "build")(Autoencoder(larger), asked.width)
    put(asked.run, "vae", tiny)
    yield learns("decoder", tiny.decoder, moments=3)
    tiny.encoder.requires_grad_(not isinstance(larger, AutoencoderTiny))
    yield learns("encoder", tiny.encoder, moments=3)
    yield learns("judge", built(own("decoder", "Discriminator")), moments=3)


def upscale(asked: Any) -> Networks:
    smaller = blueprints.autoencoder(asked.autoencoder)
    yield frozen("autoencoder", smaller)
    yield from model(asked.model)
    deep = (*smaller.config["num_decoder_blocks"], 0)
    with torch.device("meta"):
        larger = with_decoder(smaller, (asked.width,) * len(deep), deep)
    put(asked.run, "vae", larger)
    yield learns("decoder", larger.decoder, mean=True)
    yield frozen("encoder", larger.encoder)
    yield learns("judge", built(own("upscale", "Discriminator")))


def warmup(asked: Any) -> Networks:
    yield from model(asked.offline, asked.text)
    if asked.encoder:
        yield frozen("encoder", built(features.ENCODERS[stage.read(asked.encoder)["kind"]]))
    student = unet(asked.student or asked.offline)
    left(asked.run, student, asked.text or asked.offline)
    yield learns("student", student, mean=True)


def reader(asked: Any) -> Networks:
    put(asked.run, "vae", blueprints.autoencoder(asked.autoencoder))
    yield learns("reader", built(Reader, asked.width, PATCH if asked.shown else 4), mean=True)
    if asked.shown:
        yield frozen("decoder", blueprints.autoencoder(asked.autoencoder).decoder)


def distill(asked: Any) -> Networks:
    heard, student = asked.text or asked.offline or asked.student, unet(asked.student)
    yield from model(asked.offline or asked.student, heard)
    left(asked.run, student, heard)
    yield learns("student", student, mean=True)
    online = unet(asked.online or asked.offline) if asked.offline else None
    if online is not None:
        yield learns("online", online)
    if asked.encoder:
        yield frozen("encoder", built(features.ENCODERS[stage.read(asked.encoder)["kind"]]))
    if asked.keep:
        yield frozen("before", student)
    if asked.guard:
        yield from reads(asked.guard)
    yield from supervised(asked, heard, online)


def texture(asked: Any) -> Networks:
    yield from model(asked.offline, asked.text)
    left(asked.run, unet(asked.student), asked.text or asked.offline)
    targets, levels = own("texture", "TARGETS"), own("texture", "LEVELS")
    yield learns("student", with_lora(asked.student, asked.rank, targets), mean=True)
    sizes = tuple(unet(asked.offline).config["block_out_channels"]) * len(levels)
    heard = blueprints.width_of_text(asked.text or asked.offline)
    yield learns("heads", built(own("texture", "Heads"), sizes, heard))


def average(asked: Any) -> Networks:
    left(asked.run, unet(asked.models[0]), asked.models[0])
    yield from (frozen("model", unet(folder)) for folder in asked.models)


def control(asked: Any) -> Networks:
    yield from model(asked.teacher)
    yield from beside(asked)
    with torch.device("meta"):
        full = full_control(unet(asked.teacher))
    put(asked.run, "control", full)
    yield learns("control", full, mean=True)


def control_blocks(asked: Any) -> Networks:
    full, tiny = blueprints.control(asked.control), unet(asked.tiny)
    yield from model(asked.teacher)
    yield frozen("tiny unet", tiny)
    yield from words(asked.tiny)
    yield frozen("full control", full)
    yield from beside(asked)
    with torch.device("meta"):
        slim = slim_control(tiny, full)
    put(asked.run, "control", slim)
    yield learns("control", slim, mean=True)


def control_stem(asked: Any) -> Networks:
    before = blueprints.control(asked.begin)
    with torch.device("meta"):
        after = own("control_stem", "with_larger_stem")(before, asked.width)
    put(asked.run, "control", after)
    yield frozen("before", before)
    stem = after.controlnet_cond_embedding
    yield Held("control", count(after) - count(stem))
    yield learns("stem", stem, mean=True)


def steer(asked: Any) -> Networks:
    heard, network = asked.offline or asked.student, blueprints.control(asked.begin)
    yield from model(heard)
    yield frozen("student unet", unet(asked.student))
    yield from beside(asked)
    put(asked.run, "control", network)
    yield learns("control", network, mean=True)
    online = unet(asked.offline) if asked.offline else None
    if online is not None:
        yield learns("online", online)
        yield frozen("full control", blueprints.control(asked.full))
    if asked.keep:
        yield frozen("before", network)
    yield from supervised(asked, heard, online)


def style(asked: Any) -> Networks:
    yield learns("unet", with_lora(asked.teacher, asked.rank), mean=True)
    yield from words(asked.teacher)
    yield from beside(asked)


def style_distill(asked: Any) -> Networks:
    heard = asked.offline or asked.student
    yield from model(heard)
    yield learns("unet", with_lora(asked.student, asked.rank), mean=True)
    online = unet(asked.offline) if asked.offline else None
    if online is not None:
        yield frozen("plain unet", unet(asked.offline))
        yield learns("online", online)
    if asked.control:
        yield frozen("control", blueprints.control(asked.control))
    yield from supervised(asked, heard, online)


def depth(asked: Any) -> Networks:
    network = built(own("depth", "KINDS")[asked.kind])
    put(asked.run, "depth", network)
    yield learns("network", network)


def export(asked: Any) -> Networks:
    left(asked.out, unet(asked.model), asked.model)
    put(asked.out, "vae", blueprints.autoencoder(asked.decoder))
    yield from model(asked.model)


ROWS: dict[str, Callable[[Any], Networks]] = {  # of commands that hold a network
    "encoders": lambda asked: iter([learns("encoder", built(features.ENCODERS[asked.kind]))]),
}
ROWS |= {
    row.__name__: row
    for row in (
        text, autoencoder, teacher, blocks, straighten, pairs, decoder, upscale, warmup,
        reader, distill, texture, average, control, control_blocks, control_stem,
        steer, style, style_distill, depth, export,
    )
}  # fmt: skip


def networks_of(command: str, asked: Any) -> list[Held]:
    """Of a command that was asked so; none of one that is in no recipe, or holds a few matrices."""
    return list(ROWS[command](asked)) if command in ROWS else []
