"""What judges found, in numbers: shares and means with their 95 % intervals, and chance.

Attribute accuracy is the share of stated attributes that a judge sees in the pictures, caption
accuracy the share of captions with every stated attribute seen. Knows nothing of pictures.
"""

import math

from sdxs.storybook.world import scenes
from sdxs.storybook.world.captions import Caption

ATTRIBUTES = ("thing", "colour", "size", "place", "relation", "sky", "ground")
ACCURACIES = ("attribute_accuracy", "caption_accuracy")
Found = list[tuple[str, bool]]  # what a caption states, and whether it is seen in the picture


def wilson(right: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    if count == 0:
        return 0.0, 1.0
    share = right / count
    middle = share + z * z / (2 * count)
    reach = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return max(0.0, middle - reach) / scale, min(scale, middle + reach) / scale


def share(right: int, count: int) -> dict[str, float]:
    """A share, and the bounds of its 95 % interval."""
    low, high = wilson(right, count)
    return rounded({"share": right / max(1, count), "lower": low, "upper": high, "n": count})


def mean(values: list[float]) -> dict[str, float]:
    """Mean, and the bounds of its 95 % interval by the normal approximation."""
    middle = sum(values) / len(values)
    spread = math.sqrt(sum((v - middle) ** 2 for v in values) / max(1, len(values) - 1))
    reach = 1.96 * spread / math.sqrt(len(values))
    bounds = {"lower": middle - reach, "upper": middle + reach}
    return rounded({"mean": middle, **bounds, "n": len(values)})


def rounded(row: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in row.items()}


def tally(results: list[Found]) -> dict[str, tuple[int, int]]:
    """Right and count by attribute, and of both ACCURACIES."""
    out = {}
    for name in ATTRIBUTES:
        values = [ok for row in results for attribute, ok in row if attribute == name]
        out[name] = (sum(values), len(values))
    right, count = (sum(column) for column in zip(*out.values(), strict=True))
    whole = sum(all(ok for _, ok in row) for row in results)
    return out | dict(zip(ACCURACIES, ((right, count), (whole, len(results))), strict=True))


def chance(captions: list[Caption]) -> dict[str, float]:
    """What a painter scores that never reads the caption but follows the odds of the world.

    For colour, size, place and relation the named things are taken to be there.
    """
    named = sum(scenes.LAYOUT_ODDS[name] * count for name, count in scenes.THINGS_IN.items())
    side = scenes.LAYOUT_ODDS["side"] / (scenes.LAYOUT_ODDS["side"] + scenes.LAYOUT_ODDS["depth"])
    half, rest = side / 2, (1 - side) / 2
    relations = {"left": half, "right": half, "front": rest, "behind": rest, "beside": side}
    every: dict[str, list[float]] = {name: [] for name in (*ATTRIBUTES, *ACCURACIES)}
    for caption in captions:
        luck = {
            "thing": [named / len(scenes.THINGS)] * len(caption.things),
            "colour": [1 / len(scenes.COLOURS) for thing in caption.things if thing.colour],
            "size": [1 / len(scenes.SIZES) for thing in caption.things if thing.size],
            "place": [1 / len(scenes.PLACES)] if caption.place else [],
            "relation": [relations[caption.relation]] if caption.relation else [],
            "sky": [1 / len(scenes.SKIES)] if caption.sky else [],
            "ground": [1 / len(scenes.GROUNDS)] if caption.ground else [],
        }
        for name, values in luck.items():
            every[name] += values
        all_of_it = [value for values in luck.values() for value in values]
        every["attribute_accuracy"] += all_of_it
        every["caption_accuracy"].append(math.prod(all_of_it))
    return {name: sum(values) / max(1, len(values)) for name, values in every.items()}
