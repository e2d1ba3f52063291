"""Words of the wider world, and what comes nearest to them in this one.

Plain data, for pages: a model of this world has never read these words, and one of them is enough
to lead it astray. The embedded checkpoint has them beside its weights, `dictionary.json`.
"""

from sdxs.storybook.world.captions import ARTICLES, FILLERS

# a word that captions have -> the words that it may stand in for. A word that stands on both sides
# ("by day", "by a tree") is understood within its phrases alone.
KIN = {
    # things
    "ball": "balloon bubble globe orb marble pearl planet earth moon sun football apple fruit egg",
    "cube": "block brick dice die crate",
    "box": "package parcel present gift chest suitcase bag basket",
    "cone": "pyramid triangle mountain volcano hat hill tent carrot",
    "star": "moon sun planet comet meteor asterisk sparkle",
    "heart": "love valentine",
    "house": "cottage cabin hut villa castle palace mansion barn building church temple school "
             "tower skyscraper lighthouse mill windmill shop farm shed city town village",
    "home": "apartment flat",
    "tree": "bush shrub hedge oak pine fir palm birch willow cactus plant forest wood woods jungle",
    "mushroom": "toadstool fungus umbrella parasol",
    "boat": "yacht canoe kayak raft sailboat ferry submarine vessel",
    "ship": "steamer galleon",
    "flower": "rose tulip daisy lily sunflower poppy orchid blossom bouquet daffodil",
    # colours
    "red": "crimson scarlet ruby maroon burgundy brown copper",
    "orange": "amber tangerine rust brown",
    "yellow": "gold golden blond blonde mustard beige",
    "green": "emerald lime olive mint jade turquoise teal",
    "blue": "azure navy cyan turquoise teal indigo sapphire black",
    "purple": "violet lavender lilac mauve magenta indigo black",
    "pink": "rosy magenta salmon fuchsia coral",
    "white": "grey gray silver ivory cream pale snowy",
    # sizes
    "small": "tiny mini miniature short minute",
    "little": "wee",
    "big": "huge giant enormous massive tall great fat",
    "large": "gigantic vast long wide",
    # skies
    "day": "daytime noon midday sunlight morning sunrise dawn afternoon",
    "sunset": "sundown dusk twilight sunrise dawn",
    "evening": "dusk twilight",
    "night": "midnight nighttime darkness moonlight",
    "stars": "galaxy",
    # grounds
    "grass": "lawn field garden park hill ground yard farm",
    "meadow": "field countryside pasture valley forest wood woods jungle garden park spring summer",
    "sand": "beach shore coast dune dunes island",
    "desert": "wasteland mars",
    "snow": "ice blizzard mountain mountains",
    "winter": "autumn christmas",
    "sea": "ocean waves bay harbour harbor",
    "water": "lake river pond pool stream ocean",
    # relations
    "beside": "near next by with alongside against under",
    "at": "by",
    "and": "with plus",
    "behind": "beyond after",
    "front": "before",
    # around them
    "a": "my your his her our their this that some one two three four five several many every",
    "picture": "photo photograph image painting portrait",
    "drawing": "sketch illustration cartoon render",
    "draw": "paint show make create generate give",
    "see": "want like need",
    "very": "really so extremely",
    "nice": "beautiful pretty lovely cute good",
}  # fmt: skip

OTHERS = (  # that nothing here comes near to, and that are no misspelling of what is
    "above across around as below between for from full inside into it me off oil onto out "
    "outside over through toward towards up upon without you "
    "bat bear bowl coat goat head horse knight light mouse snake storm"
)


def fillers() -> list[str]:
    """What a prompt may have beside the phrases: the articles, and what people begin with."""
    return sorted({*ARTICLES, *" ".join(FILLERS).split()})


def near() -> dict[str, list[str]]:
    """Of a word that captions do not have, those that come near, in the order of the
    table; [] for what there is nothing to offer for."""
    found: dict[str, list[str]] = {word: [] for word in OTHERS.split()}
    for known, others in KIN.items():
        for word in others.split():
            found.setdefault(word, []).append(known)
    return dict(sorted(found.items()))
