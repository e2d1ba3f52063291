"""Score a control of the storybook world: python -m sdxs.storybook.controlled --control sketch

Held-out scenes give captions and control images. Of what is painted by both: how like the scene its
lines or its depth are, and how like another scene's; attribute and caption accuracy beside those of
the model without a control; what happens when the prompt contradicts the control; how the strength
of the control acts. Means with their 95 % interval.
"""

import random
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from sdxs.conditions import CONTROLS
from sdxs.errors import InputError
from sdxs.pipeline import SDXS
from sdxs.storybook import command
from sdxs.storybook.judges.controls import SEED, control_images, likeness
from sdxs.storybook.judges.evaluator import Evaluator, check
from sdxs.storybook.judges.painters import BATCH, STRENGTHS
from sdxs.storybook.judges.tallies import ACCURACIES, Found, mean, share, tally
from sdxs.storybook.world.captions import Caption, describe
from sdxs.storybook.world.render import Render, render
from sdxs.storybook.world.scenes import COLOURS, PLACE_X, Scene, Thing, sample_scenes
from sdxs.storybook.world.words import UNSEEN_PAIRS


def contradicted(scene: Scene, rng: random.Random) -> Scene:
    """The same things elsewhere, as a caption can say, in other colours that training knows."""
    things = list(scene.things)
    if scene.layout == "depth":  # the farther one comes to the front
        things = [replace(a, y=b.y) for a, b in zip(things, reversed(things), strict=True)][::-1]
    elif scene.place == "middle":
        things = [replace(things[0], x=rng.uniform(*PLACE_X[rng.choice(("left", "right"))]))]
    else:
        things = [replace(thing, x=1 - thing.x) for thing in things]
    return replace(scene, things=tuple(recoloured(thing, rng) for thing in things))


def recoloured(thing: Thing, rng: random.Random) -> Thing:
    """In another colour, one that training shows on it."""
    known = [c for c in COLOURS if c != thing.colour and (c, thing.kind) not in UNSEEN_PAIRS]
    return replace(thing, colour=rng.choice(known))


@torch.no_grad()
def measure(model: SDXS, control: str, count: int) -> dict[str, Any]:
    """All scores of a control that is loaded, on `count` scenes."""
    judge, like = Evaluator.load(), likeness(control)
    scenes, rng = sample_scenes(count, SEED), random.Random(SEED)
    captions = [describe(scene, rng) for scene in scenes]
    others = [describe(contradicted(scene, rng), rng, drop=0.0) for scene in scenes]
    next_to = [*scenes[1:], scenes[0]]
    found: dict[str, list[float]] = {}
    judged: dict[str, list[Found]] = {"controlled": [], "plain": [], "contradicted": []}

    def compare(what: str, painted: Tensor, wanted: Render) -> None:
        for name, values in like(painted, wanted).items():
            found.setdefault(f"{name}, {what}", []).extend(values)

    def paint(some: list[Caption], named: str | None, **led: Any) -> Tensor:
        texts = [caption.text for caption in some]
        painted: Tensor = model(texts, control=control, output_type="pt", **led)
        painted = painted.cpu().clamp(-1, 1)
        if named:
            judged[named] += check(judge(painted), some)
        return painted

    for first in tqdm(range(0, count, BATCH), desc=control, dynamic_ncols=True, mininterval=2):
        rows = slice(first, first + BATCH)
        wanted, shuffled = (render(some[rows], model.size[0]) for some in (scenes, next_to))
        led = {
            "control_image": control_images(model, control, scenes[rows], first),
            "seed": list(range(count)[rows]),
        }
        for strength in STRENGTHS:
            named = {0.0: "plain", 1.0: "controlled"}.get(strength)
            painted = paint(captions[rows], named, control_scale=strength, **led)
            compare(f"strength {strength:g}", painted, wanted)
        compare("another scene", painted, shuffled)  # what full strength, the last, gave
        painted = paint(others[rows], "contradicted", control_scale=1.0, **led)
        compare("contradicted", painted, wanted)
    scores: dict[str, Any] = {name: mean(values) for name, values in found.items()}
    for name in ("controlled", "plain"):
        counts = tally(judged[name])
        scores |= {f"{kind}, {name}": share(*counts[kind]) for kind in ACCURACIES}
    scores["colour, contradicted"] = share(*tally(judged["contradicted"])["colour"])
    return scores


@command.told
def main(arguments: list[str] | None = None) -> None:
    parser = command.parser("controlled", __doc__)
    add = parser.add_argument
    add("--control", choices=CONTROLS, required=True, help="which")
    add("--folder", help="of the control (default: the one that ships)")
    add("--count", type=int, default=1000, help="scenes (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.count < 2:
        raise InputError("--count is at least 2: a control image is compared with another")
    source = options.folder or options.control
    model = command.load(options.checkpoint, controls={options.control: source})
    scores = measure(model, options.control, options.count)
    for name, row in scores.items():
        values = (f"{key} {value:g}  " for key, value in row.items())
        print(f"{name.replace('_', ' '):32}", *values)
    command.line(model, control=options.control, **scores)


if __name__ == "__main__":
    raise SystemExit(main())
