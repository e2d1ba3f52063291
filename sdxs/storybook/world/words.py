"""The words of the storybook world: what its captions say, and the pairs that training never sees.

Plain data. The embedded checkpoint has the phrases beside its weights, `words.json`, for pages.
"""

# heading -> {canonical name: (the phrases that say it, the first one is preferred)}
WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "things": {
        "ball": ("ball", "sphere"), "cube": ("cube", "box"), "cone": ("cone",), "star": ("star",),
        "heart": ("heart",), "house": ("house", "home"), "tree": ("tree",),
        "mushroom": ("mushroom",), "boat": ("boat", "ship"), "flower": ("flower",),
    },
    "colours": {
        "red": ("red",), "orange": ("orange",), "yellow": ("yellow",), "green": ("green",),
        "blue": ("blue",), "purple": ("purple",), "pink": ("pink",), "white": ("white",),
    },
    "sizes": {"small": ("small", "little"), "big": ("big", "large")},
    "skies": {
        "day": ("by day", "in daylight"),
        "sunset": ("at sunset", "in the evening"),
        "night": ("at night", "under the stars"),
    },
    "grounds": {
        "grass": ("on the grass", "in a meadow"),
        "sand": ("on the sand", "in the desert"),
        "snow": ("in the snow", "in winter"),
        "sea": ("on the sea", "on the water"),
    },
    "relations": {
        "left": ("to the left of",), "right": ("to the right of",), "front": ("in front of",),
        "behind": ("behind",), "beside": ("beside", "and"),
    },
    "places": {"left": ("on the left",), "middle": ("in the middle",), "right": ("on the right",)},
}  # fmt: skip

# (colour, thing) pairs that training never sees, kept to test composition.
UNSEEN_PAIRS = frozenset({
    ("orange", "ball"), ("pink", "cube"), ("white", "cone"), ("blue", "star"),
    ("green", "heart"), ("purple", "house"), ("pink", "tree"), ("yellow", "boat"),
})  # fmt: skip


def phrases() -> dict[str, list[str]]:
    """What the pages show: heading -> the phrases that a model of this world understands."""
    return {
        heading: [phrase for said in entries.values() for phrase in said]
        for heading, entries in WORDS.items()
    }
