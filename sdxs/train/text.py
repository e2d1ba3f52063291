"""Stage 0: the text encoder and its tokenizer, taught to keep what a caption states.

Stable Diffusion starts from a text encoder that CLIP has trained; this is the storybook's stand-in
for that. From the places after the caption's end, linear heads must read off every stated
attribute: both things with colour and size in the order of naming, how they stand, sky and ground.
The heads are then thrown away.
"""

import random

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTokenizer

from sdxs.storybook.world import scenes
from sdxs.storybook.world.captions import OPPOSITE, Caption, as_typed, describe
from sdxs.storybook.world.tokenizer import build_tokenizer
from sdxs.train.parts.learner import Learner
from sdxs.train.parts.models import PRESETS, build_text_encoder, tokenize
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, fast
from sdxs.train.run.options import TrainingOptions, option

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


@torch.no_grad()
def read_off(
    model: nn.ModuleDict, tokenizer: CLIPTokenizer, sizes: list[int], count: int = 1000
) -> float:
    """Share of the attributes of held-out captions that the heads read off rightly."""
    seed = scenes.HELD_OUT_SEED
    rng = random.Random(seed)
    captions = [describe(scene, rng) for scene in scenes.sample_scenes(count, seed)]
    ids = tokenize(tokenizer, [caption.text for caption in captions]).to(DEVICE)
    states = model["text"](ids).last_hidden_state
    answers = model["heads"](after_end(ids, states, tokenizer.eos_token_id)).split(sizes, -1)
    wanted = targets(captions).to(DEVICE).unbind(-1)
    right = [(a.argmax(-1) == w).float().mean() for a, w in zip(answers, wanted, strict=True)]
    return torch.stack(right).mean().item()


class Options(TrainingOptions, steps=500, batch=128, lr=1e-3, seed=5):
    preset: str = option("s", "how wide, how deep", choices=PRESETS)


def train(options: Options) -> None:
    """Leave `text_encoder` and `tokenizer` in `run`. Raises TrainingError."""
    torch.manual_seed(options.seed)
    tokenizer, preset = build_tokenizer(), PRESETS[options.preset]
    text = build_text_encoder(preset, tokenizer)
    sizes = [len(answers) + 1 for answers in HEADS.values()]
    heads = nn.Linear(preset.text_width, sum(sizes))
    model = nn.ModuleDict({"text": text, "heads": heads}).to(DEVICE)
    learner = Learner("model", model, options.lr, betas=(0.9, 0.999))

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        rng = loop.plain(generator)
        captions = [describe(scenes.sample_scene(rng), rng) for _ in range(options.batch)]
        ids = tokenize(tokenizer, [as_typed(caption.text, rng) for caption in captions]).to(DEVICE)
        with fast():
            states = text(ids).last_hidden_state  # (B, L, D)
        answers = heads(after_end(ids, states.float(), tokenizer.eos_token_id)).split(sizes, -1)
        wanted = targets(captions).to(DEVICE).unbind(-1)
        pairs = list(zip(answers, wanted, strict=True))
        loss = torch.stack([F.cross_entropy(a, w) for a, w in pairs]).mean()
        right = torch.stack([(a.argmax(-1) == w).float().mean() for a, w in pairs]).mean()
        learner.update(loss, loop.cosine(index, options.steps))
        return {"loss": loss.item(), "right": right.item()}

    with stage.trained(options, learner.parts, step, {}) as measured:
        measured["right"] = round(read_off(model, tokenizer, sizes), 4)
        text.save_pretrained(options.run / "text_encoder")
        tokenizer.save_pretrained(options.run / "tokenizer")


main = stage.main(Options, train, __name__)
