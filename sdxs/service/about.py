"""What a page says about the model behind it: plain text and tables.

Knows nothing of Gradio, torch or files of weights.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from PIL import Image

from sdxs.conditions import CONDITIONS
from sdxs.config import CHECKPOINTS, REAL_MODEL, TEMPLATES, known
from sdxs.errors import SafetyWarning

FIRST_SEED = 0

BY_A_MODEL = "Every picture here is made by a model, and its file says so."
SAFETY = {  # of a model -> what the page says of it
    "on": "A safety checker looks at every picture and blurs what it takes for unsafe.",
    "off": "The safety checker is switched off: pictures are shown as they come.",
    "missing": "No safety checker could be had: pictures are shown as they come.",
    "needless": "No safety checker is needed: this model can only draw its own harmless world.",
}


@dataclass(frozen=True)
class About:
    """What a page says about the model behind it. Plain text and tables; every field may be empty.

    `facts` are short (device, dtype, size); `why` says why this model was chosen; `command` starts
    the real one. `words` maps a heading to phrases the model understands; empty means any words.
    `fillers` may be in a prompt as well, `near` maps other words to those that come near.
    `lent`: a visitor pays for the GPU's time, so that a picture comes when it is ordered.
    `decoders`, `styles` and `conditions` are the names to choose from, `templates` maps names to
    what a prompt is put into; `safety` says who looks at the pictures, `size` is (width, height),
    `tip` stands on an empty canvas.
    """

    title: str = "A one-step picture model"
    checkpoint: str = ""
    facts: tuple[str, ...] = ()
    why: str = ""
    command: str = ""
    examples: tuple[str, ...] = ("a red house to the left of a green tree at sunset",)
    words: Mapping[str, Sequence[str]] = field(default_factory=dict)
    fillers: Sequence[str] = ()
    near: Mapping[str, Sequence[str]] = field(default_factory=dict)
    decoders: tuple[str, ...] = ("tiny",)
    styles: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    templates: Mapping[str, str] = field(default_factory=dict)
    safety: str = ""
    size: tuple[int, int] = (512, 512)
    lent: bool = False
    tip: str = "Draw here."

    @classmethod
    def of(cls, model: Any, page: str = "") -> "About":
        """What a loaded model tells about itself, and what we know of its checkpoint. page: its
        name for `make run PAGE=…`, empty for the text page."""
        published = known(model.checkpoint)
        width, height = model.size
        hint = model.source.hint
        return cls(
            title=published.title if published else model.checkpoint,
            checkpoint=model.checkpoint,
            facts=(
                str(model.device),
                str(model.dtype).removeprefix("torch."),
                f"{width} × {height} pixels",
                "one step",
            ),
            why=model.source.reason,
            command=" ".join(filter(None, (hint, hint and page and f"PAGE={page}"))),
            examples=(published or CHECKPOINTS[REAL_MODEL]).examples,
            words=model.words,
            fillers=model.dictionary.fillers,
            near=model.dictionary.near,
            decoders=model.decoders,
            styles=model.styles,
            conditions=tuple(
                name for name, row in CONDITIONS.items() if row.control in model.controls
            ),
            templates=published.templates if published else TEMPLATES,
            safety=SAFETY[model.safety],
            size=model.size,
            tip=published.tip if published and published.tip else cls.tip,
        )

    def html(self) -> str:
        """The model in use, why it, and how to get the real one."""
        lines = [f"<h2>{escape(self.title)}</h2>"]
        if self.facts:
            lines.append(f"<p class='sdxs-facts'>{' · '.join(map(escape, self.facts))}</p>")
        lines.append(f"<p>{BY_A_MODEL}</p>")
        if self.safety:
            lines.append(f"<p>{escape(self.safety)}</p>")
        if self.why:
            lines.append(f"<p>Why this one: {escape(self.why)}.</p>")
        if self.command:
            lines.append(
                f"<p>The real model, which is downloaded once:</p><pre>{escape(self.command)}</pre>"
            )
        return "\n".join(lines)


def welcome_picture(generate: Callable[..., Image.Image], about: About) -> Image.Image | None:
    """The first example's picture, None where the safety checker hides it. Warms the model up, too:
    the first visitor does not wait for that."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", SafetyWarning)
        try:
            return generate(about.examples[0], seed=FIRST_SEED)
        except SafetyWarning:
            return None
