"""Stage 0: the text encoder and its tokenizer, taught to keep what a caption states.

Stable Diffusion starts from a text encoder that CLIP has trained; this is the storybook's stand-in
for that. From the places after the caption's end, linear heads must read off every stated
attribute: both things with colour and size in the order of naming, how they stand, sky and ground.
The heads are then thrown away.

Other captions (`--data`) are not of that grammar: of those, it is the words that must be read off.
"""

import random
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdxs.storybook.world import scenes
from sdxs.storybook.world.captions import OPPOSITE, Caption, as_typed, describe
from sdxs.storybook.world.tokenizer import build_tokenizer, learn_tokenizer
from sdxs.train.parts.folder import fingerprint, read_folder
from sdxs.train.parts.latents import DATA
from sdxs.train.parts.learner import Learner
from sdxs.train.parts.models import PRESETS, build_text_encoder, tokenize
from sdxs.train.parts.vocabulary import Vocabulary
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, fast
from sdxs.train.run.options import FACTOR, TrainingOptions, option

UNSAID = "unsaid"
HEADS: dict[str, tuple[str, ...]] = {  # what is read off -> its answers, "unsaid" besides
    **{f"{name} {slot}": answers for slot in (1, 2) for name, answers in
       (("kind", scenes.THINGS), ("colour", scenes.COLOURS), ("size", scenes.SIZES))},
    "relation": tuple(OPPOSITE),
    "place": scenes.PLACES,
    "sky": scenes.SKIES,
    "ground": scenes.GROUNDS,
}  # fmt: skip


def stated(caption: Caption) -> dict[str, str]:
    """The right answer of every head."""
    answers = {"relation": caption.relation, "place": caption.place}
    answers |= {"sky": caption.sky, "ground": caption.ground}
    for slot, thing in enumerate(caption.things, 1):
        answers |= {f"kind {slot}": thing.kind, f"colour {slot}": thing.colour}
        answers |= {f"size {slot}": thing.size}
    return {name: answers.get(name) or UNSAID for name in HEADS}


def targets(captions: list[Caption]) -> Tensor:
    """(B, heads) indices of the right answers; the last answer of each head is "unsaid"."""
    rows = [stated(caption) for caption in captions]
    return torch.tensor(
        [[(*options, UNSAID).index(row[name]) for name, options in HEADS.items()] for row in rows]
    )


def after_end(ids: Tensor, states: Tensor, end: int) -> Tensor:
    """Mean of the states (B, L, D) from the caption's end on, all of which have read all of it."""
    weight = (ids == end).float().unsqueeze(-1)  # the padding is the same token
    return (states * weight).sum(1) / weight.sum(1)


class Task(Protocol):
    """What must be read off. answers: (B, size) of the heads; wanted: what is true of B texts."""

    @property
    def size(self) -> int: ...

    def draw(self, count: int, rng: random.Random) -> tuple[list[str], Tensor]:
        """Texts by chance, and what is wanted of each."""

    def judge(self, answers: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, and the share that is right."""

    def test(self) -> tuple[list[str], Tensor]:
        """What the finished encoder is measured on."""


class Attributes:
    """What the storybook's captions state."""

    sizes = tuple(len(answers) + 1 for answers in HEADS.values())
    size = sum(sizes)

    def draw(self, count: int, rng: random.Random) -> tuple[list[str], Tensor]:
        captions = [describe(scenes.sample_scene(rng), rng) for _ in range(count)]
        return [as_typed(caption.text, rng) for caption in captions], targets(captions)

    def judge(self, answers: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        pairs = list(zip(answers.split(self.sizes, -1), wanted.unbind(-1), strict=True))
        loss = torch.stack([F.cross_entropy(a, w) for a, w in pairs]).mean()
        return loss, torch.stack([(a.argmax(-1) == w).float().mean() for a, w in pairs]).mean()

    def test(self) -> tuple[list[str], Tensor]:
        """Held-out captions."""
        rng = random.Random(scenes.HELD_OUT_SEED)
        drawn = scenes.sample_scenes(1000, scenes.HELD_OUT_SEED)
        captions = [describe(scene, rng) for scene in drawn]
        return [caption.text for caption in captions], targets(captions)


class Options(TrainingOptions, steps=500, batch=128, lr=1e-3, seed=5):
    preset: str = option("s", "how wide, how deep", choices=PRESETS)
    data: Path | None = option(None, DATA, metavar="FOLDER")


def train(options: Options) -> None:
    """Leave `text_encoder` and `tokenizer` in `run`. Raises TrainingError, InputError."""
    torch.manual_seed(options.seed)
    task: Task = Attributes()
    facts: dict[str, Any] = {}
    if options.data is None:
        tokenizer = build_tokenizer()
    else:
        pictures, captions = read_folder(options.data, FACTOR)
        task, tokenizer = Vocabulary(captions), learn_tokenizer(captions)
        facts["data"] = fingerprint(pictures, captions)
    preset, end = PRESETS[options.preset], tokenizer.eos_token_id
    text = build_text_encoder(preset, tokenizer)
    heads = nn.Linear(preset.text_width, task.size)
    model = nn.ModuleDict({"text": text, "heads": heads}).to(DEVICE)
    learner = Learner("model", model, options.lr, betas=(0.9, 0.999))

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        texts, wanted = task.draw(options.batch, loop.plain(generator))
        ids = tokenize(tokenizer, texts).to(DEVICE)
        with fast():
            states = text(ids).last_hidden_state  # (B, L, D)
        answers = heads(after_end(ids, states.float(), end))
        loss, right = task.judge(answers, wanted.to(DEVICE))
        learner.update(loss, loop.cosine(index, options.steps))
        return {"loss": loss.item(), "right": right.item()}

    with stage.trained(options, learner.parts, step, facts) as measured, torch.no_grad():
        texts, wanted = task.test()
        ids = tokenize(tokenizer, texts).to(DEVICE)
        answers = heads(after_end(ids, text(ids).last_hidden_state, end))
        measured["right"] = round(task.judge(answers, wanted.to(DEVICE))[1].item(), 4)
        text.save_pretrained(options.run / "text_encoder")
        tokenizer.save_pretrained(options.run / "tokenizer")


main = stage.main(Options, train, __name__)
