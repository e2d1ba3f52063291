"""What a scene is called: captions from a small grammar, and what each of them states.

`describe` says a scene in words and leaves attributes out at random; what it did say is kept
beside the text, so that a judge knows what to look for. No torch here.
"""

import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path

from sdxs.storybook.world.scenes import Scene, Thing, sample_scene, sample_scenes
from sdxs.storybook.world.words import WORDS

DROP = 0.28  # how often an attribute is left unsaid
ARTICLES = "a", "an"  # before a consonant, before a vowel
OPPOSITE = {
    "left": "right",
    "right": "left",
    "front": "behind",
    "behind": "front",
    "beside": "beside",
}
FROZEN = {  # pairs of colour and thing, in training -> file, captions, seed, `unseen` of scenes
    "seen": (Path(__file__).parent / "captions.jsonl", 1000, 424242, "never"),
    "unseen": (Path(__file__).parent / "captions_unseen.jsonl", 250, 424243, "always"),
}


@dataclass(frozen=True)
class Stated:
    """A thing as the caption speaks of it; None is left unsaid."""

    kind: str
    colour: str | None
    size: str | None


@dataclass(frozen=True)
class Caption:
    """A text and what it states. `relation` is that of things[0] to things[1]."""

    text: str
    things: tuple[Stated, ...]
    sky: str | None
    ground: str | None
    relation: str | None
    place: str | None


def describe(scene: Scene, rng: random.Random, drop: float = DROP) -> Caption:
    """One of the many captions of a scene."""

    def said(value: str) -> str | None:
        return None if rng.random() < drop else value

    def stated(thing: Thing) -> Stated:
        return Stated(thing.kind, said(thing.colour), said(thing.size))

    sky, ground = said(scene.sky), said(scene.ground)
    place = relation = None
    things: tuple[Stated, ...]
    if scene.place is not None:
        things, place = (stated(scene.things[0]),), said(scene.place)
    else:
        first, second = scene.things  # the farther one first
        relation = "left" if first.x < second.x else "right"
        if scene.layout == "depth":
            relation = "behind"
        if rng.random() < 0.5:
            first, second, relation = second, first, OPPOSITE[relation]
        if scene.layout == "side" and rng.random() < drop:
            relation = "beside"
        things = (stated(first), stated(second))
    article = rng.random() < 0.9
    middle = [_noun_phrase(thing, rng, article) for thing in things]
    if relation is not None:
        middle.insert(1, _phrase("relations", relation, rng))
    if place is not None:
        middle.append(_phrase("places", place, rng))
    around = [_phrase(of, it, rng) for of, it in (("skies", sky), ("grounds", ground)) if it]
    rng.shuffle(around)
    before = around.pop() + "," if around and rng.random() < 0.12 else ""
    text = " ".join([before, *middle, *around]).strip()
    return Caption(text, things, sky, ground, relation, place)


def described(count: int, seed: int, *, unseen: str = "never") -> tuple[list[Scene], list[Caption]]:
    """The scenes of a seed, see `sample_scenes`, and a caption of each."""
    scenes, rng = sample_scenes(count, seed, unseen=unseen), random.Random(seed)
    return scenes, [describe(scene, rng) for scene in scenes]


def _phrase(heading: str, name: str, rng: random.Random) -> str:
    return rng.choice(WORDS[heading][name])


def _noun_phrase(thing: Stated, rng: random.Random, article: bool) -> str:
    said = (("sizes", thing.size), ("colours", thing.colour), ("things", thing.kind))
    words = [_phrase(heading, name, rng) for heading, name in said if name]
    if article:
        words.insert(0, ARTICLES[words[0][0] in "aeiou"])
    return " ".join(words)


FILLERS = (
    "a picture of", "a drawing of", "there is", "i see", "please draw", "the", "very", "nice",
)  # fmt: skip


def as_typed(text: str, rng: random.Random) -> str:
    """A caption as a person types it: now and then cut short in a word, or with other words."""
    luck = rng.random()
    if luck < 0.06:
        head, _, last = text.rpartition(" ")
        return f"{head} {last[: rng.randrange(len(last))]}".strip()
    if luck < 0.12:
        return f"{rng.choice(FILLERS)} {text}"
    return text


def frozen_captions(pairs: str = "seen") -> list[Caption]:
    """The captions that scores are taken on, those of FROZEN[pairs]; they never change."""
    rows = [json.loads(line) for line in FROZEN[pairs][0].read_text().splitlines()]
    return [Caption(**{**row, "things": tuple(Stated(**t) for t in row["things"])}) for row in rows]


def write_frozen(path: Path, count: int, seed: int, unseen: str) -> None:
    """How the frozen files were made: each caption speaks of a scene of its own."""
    lines: list[str] = []
    texts: set[str] = set()
    rng = random.Random(seed)
    while len(lines) < count:
        caption = describe(sample_scene(rng, unseen=unseen), rng)
        names = [thing.colour for thing in caption.things]
        if caption.text in texts or (unseen == "always" and None in names):
            continue
        texts.add(caption.text)
        lines.append(json.dumps(asdict(caption)))
    path.write_text("\n".join(lines) + "\n")
