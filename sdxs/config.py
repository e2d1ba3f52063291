"""Frozen tables: the checkpoints that have a name, the templates of prompts, our version.

Plain data and its lookup. Knows nothing of torch, files or pages, and imports nothing of ours.
"""

from dataclasses import dataclass, field

VERSION = "0.1.0"  # of this package; pyproject.toml has it from here

EMBEDDED = "storybook"
REAL_MODEL = "IDKiro/sdxs-512-dreamshaper"
DEPTH_ANYTHING = "depth-anything/Depth-Anything-V2-Small-hf"
SAFETY_CHECKER = "CompVis/stable-diffusion-safety-checker"
CLIP_TOKENIZER = "openai/clip-vit-large-patch14"  # for single files, which bring none

# What a prompt may be put into, name -> pattern. A template is words; a style is a LoRA.
TEMPLATES: dict[str, str] = {
    "cinematic": "film still of {prompt}, dramatic lighting, shallow depth of field, film grain",
    "photograph": "photograph of {prompt}, natural light, 50 mm lens, true colours, fine detail",
    "anime": "anime artwork of {prompt}, clean line art, cel shading, vivid colours",
    "manga": "manga page drawing of {prompt}, black ink, screentone, bold outlines, monochrome",
    "digital art": "digital painting of {prompt}, concept art, crisp brushwork, rich colours",
    "pixel art": "pixel art of {prompt}, 16-bit game sprite, limited palette, hard edges",
    "fantasy": "epic fantasy illustration of {prompt}, magical glow, ornate detail, mist",
    "neon": "{prompt} in a neon-lit city at night, cyberpunk, glowing pink and blue, wet streets",
    "3D model": "3D render of {prompt}, smooth clay material, studio lighting, soft shadows",
    "watercolour": "watercolour of {prompt}, loose washes, bleeding pigment, white paper",
}


@dataclass(frozen=True)
class Checkpoint:
    """What a page shows about a checkpoint that has a name.

    `styles` and `controls` are published for it on the Hub, name to id; more may ship under
    `weights/`. `depth` is the network that sees depth in a photo, for a depth control. `templates`
    are those of its prompts; `tip` says what is followed best of a drawing.
    """

    title: str
    examples: tuple[str, ...]
    styles: dict[str, str] = field(default_factory=dict)
    controls: dict[str, str] = field(default_factory=dict)
    depth: str = DEPTH_ANYTHING
    templates: dict[str, str] = field(default_factory=lambda: dict(TEMPLATES))
    tip: str = ""


CHECKPOINTS: dict[str, Checkpoint] = {
    EMBEDDED: Checkpoint(
        title="Storybook, the embedded 256 px model",
        depth="depth",
        tip="Draw here: things that stand on the lower half, at most half as high as the paper.",
        examples=(
            "a red house to the left of a green tree at sunset on the grass",
            "a big yellow star at night on the sea",
            "a red mushroom in front of a blue flower at sunset in a meadow",
            "a small blue boat on the water in the evening",
            "a pink heart and an orange cone in the snow by day",
            "a green cube in the desert at sunset",
        ),
        templates={  # those that its words can say
            "summer's day": "{prompt} by day on the grass",
            "evening at sea": "{prompt} in the evening on the sea",
            "desert night": "{prompt} at night in the desert",
            "winter morning": "{prompt} by day in the snow",
            "sunset on the beach": "{prompt} at sunset on the sand",
        },
    ),
    REAL_MODEL: Checkpoint(
        title="SDXS-512 DreamShaper",
        examples=(
            "a close-up portrait of a fox in a snowy forest, soft light",
            "a lighthouse on a cliff in a storm, oil painting",
            "a bowl of ramen on a wooden table, studio photograph",
            "an astronaut riding a horse across red dunes",
        ),
        styles={"anime": "IDKiro/sdxs-512-dreamshaper-anime"},
        controls={"sketch": "IDKiro/sdxs-512-dreamshaper-sketch"},
    ),
}


def known(checkpoint: str) -> Checkpoint | None:
    """What is known of a checkpoint, whatever its revision (`id@revision`)."""
    return CHECKPOINTS.get(checkpoint.partition("@")[0])
