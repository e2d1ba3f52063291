"""The pages: what a visitor sees and clicks, in Gradio's components and a few of our own.

Each page receives a function from a prompt to a picture and some plain facts to show; it knows
nothing of torch, models or files of weights. The talk between browser and server (one picture in
the making, the newest request waiting) is `page/page.js` and `studio.py`; the public limits are
in `Page.launch`. The only file that imports Gradio.
"""

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from PIL import Image

from sdxs.config import CHECKPOINTS, REAL_MODEL, known
from sdxs.errors import SafetyWarning, SDXSError
from sdxs.guard import guard
from sdxs.picture import encode
from sdxs.studio import BLANK, Studio, data_url

FILES = Path(__file__).parent / "page"
FIRST_SEED = 0
SYSTEM_FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")  # none is fetched
SYSTEM_MONO = ("ui-monospace", "Menlo", "Consolas", "monospace")


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
    `decoders` and `styles` are the names to choose from; `safety` says who looks at the pictures.
    """

    title: str = "A one-step picture model"
    checkpoint: str = ""
    facts: tuple[str, ...] = ()
    why: str = ""
    command: str = ""
    examples: tuple[str, ...] = ("a red house to the left of a green tree at sunset",)
    words: Mapping[str, Sequence[str]] = field(default_factory=dict)
    decoders: tuple[str, ...] = ("tiny",)
    styles: tuple[str, ...] = ()
    safety: str = ""

    @classmethod
    def of(cls, model: Any) -> "About":
        """The facts that a loaded model tells about itself, and what we know of its checkpoint."""
        published = known(model.checkpoint)
        width, height = model.size
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
            command=model.source.hint,
            examples=(published or CHECKPOINTS[REAL_MODEL]).examples,
            words=published.words if published else {},
            decoders=model.decoders,
            styles=model.styles,
            safety=SAFETY[model.safety],
        )


class Page(gr.Blocks):
    """Blocks that launch with our look, and with the limits that a public page needs."""

    def __init__(self, title: str) -> None:
        super().__init__(title=title, analytics_enabled=False, delete_cache=(600, 1800))
        self.queue(max_size=64, default_concurrency_limit=4)

    def launch(self, *arguments: Any, **options: Any) -> Any:
        ours: dict[str, Any] = {
            "theme": theme(),
            "head": f"<script>{_read('page.js')}</script>",
            "css_paths": [FILES / "page.css"],
            "footer_links": ["api"],
            "app_kwargs": {"middleware": [guard()]},
            "max_file_size": "8mb",
            "state_session_capacity": 1000,
            "allowed_paths": [],
            "run_history": False,
            "enable_monitoring": False,
            "mcp_server": False,
            "pwa": False,
            "share": False,
            "ssr_mode": False,
        }
        return super().launch(*arguments, **(ours | options))


def welcome_picture(generate: Callable[..., Image.Image], about: About) -> Image.Image | None:
    """The picture of the first example, or None where the safety checker hides it.

    Also warms the model up, so that the first visitor does not wait for it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", SafetyWarning)
        try:
            return generate(about.examples[0], seed=FIRST_SEED)
        except SafetyWarning:
            return None


def text_page(
    generate: Callable[..., Image.Image],
    *,
    about: About | None = None,
    welcome: Image.Image | None = None,
) -> Page:
    """A page on which the picture follows the typing.

    `generate(prompt, seed=...)` makes a picture; where `about.decoders` names more than one, it is
    also given `decoder=...`, and `style=...` where the visitor chose one of `about.styles`. An
    SDXSError or a warning of ours is shown to the visitor as it is. `welcome` is the picture of the
    first example with seed 0, shown until the visitor types.
    """
    about = about or About()
    choices = {"decoder": about.decoders if len(about.decoders) > 1 else (), "style": about.styles}
    studio = Studio(generate, choices=choices, checkpoint=about.checkpoint)
    with Page("SDXS") as page:
        gr.HTML(_read("head.html"), elem_id="sdxs-head", apply_default_css=False)
        with gr.Row(elem_id="sdxs-columns"):
            with gr.Column(elem_id="sdxs-left", min_width=300):
                prompt = gr.Textbox(
                    label="Prompt",
                    show_label=False,
                    placeholder=about.examples[0] if about.examples else None,
                    elem_id="sdxs-prompt",
                    autofocus=True,
                    max_lines=4,
                    html_attributes=gr.InputHTMLAttributes(autocomplete="off", spellcheck=False),
                )
                _stage(studio, about, welcome)
                examples = _chips("examples", "Try", {"": about.examples})
            with gr.Column(elem_id="sdxs-right", min_width=300):
                with gr.Row(elem_id="sdxs-seed-row"):
                    seed = gr.Textbox(
                        str(FIRST_SEED), label="Seed", elem_id="sdxs-seed", max_lines=1, scale=3
                    )
                    dice = gr.Button("Another", elem_id="sdxs-dice", min_width=130)
                decoder = _choice("Decoder", [(name, name) for name in choices["decoder"]])
                plain = [("none", "")] if about.styles else []
                style = _choice("Style", [*plain, *((name, name) for name in about.styles)])
                words = _chips("words", "Words it knows", about.words)
                gr.HTML(_about_html(about), elem_id="sdxs-about", apply_default_css=False)

        # `change`, not `input`: a textbox fires the latter for keys that write a character alone,
        # not for backspace, paste, dictation or a phone's keyboard.
        request = [prompt, seed, decoder, style]
        for event in (prompt.change, seed.change, decoder.change, style.change, page.load):
            event(None, request, js="sdxs.changed")
        dice.click(None, None, seed, js="sdxs.roll")
        if examples:
            examples.input(None, examples, prompt, js="sdxs.choose")
        if words:
            words.input(None, [words, prompt], prompt, js="sdxs.append")
        _program_interface(studio, prompt, seed)
    return page


def _choice(label: str, options: list[tuple[str, str]]) -> gr.Radio:
    """One of a few (label, value), the first one at the start; unseen where there are none."""
    return gr.Radio(
        options,
        value=options[0][1] if options else None,
        label=label,
        visible=bool(options),
        elem_id=f"sdxs-{label.lower()}",
    )


def _stage(studio: Studio, about: About, welcome: Image.Image | None) -> gr.HTML:
    """The picture, the line above it, and what is below: our own element, see page.js."""

    async def paint(request: Any) -> dict[str, Any]:
        return await studio.paint(request)

    async def download(request: Any) -> dict[str, Any]:
        return await studio.download(request)

    first: dict[str, Any] = {"note": BLANK}
    if welcome is not None:
        first |= {
            "took": "An example",
            "picture": data_url(encode(welcome), "jpeg"),
            "request": {"prompt": about.examples[0], "seed": str(FIRST_SEED)},
        }
    return gr.HTML(
        first,
        html_template=_read("stage.html"),
        js_on_load="sdxs.connect(element, server, props.value.request);",
        server_functions=[paint, download],
        elem_id="sdxs-stage",
        apply_default_css=False,
    )


def _chips(look: str, title: str, groups: Mapping[str, Sequence[str]]) -> gr.HTML | None:
    """Texts to click, in groups with a heading each; None where there are none."""
    if not any(groups.values()):
        return None
    return gr.HTML(
        None,
        html_template=_read("chips.html"),
        js_on_load="sdxs.chips(element, props, trigger);  // fires 'input'",
        groups=[
            {"name": _literal(name), "texts": [_literal(text) for text in texts]}
            for name, texts in groups.items()
        ],
        look=look,
        title=title,
        elem_id=f"sdxs-{look}",
        apply_default_css=False,
    )


def _program_interface(studio: Studio, prompt: gr.Textbox, seed: gr.Textbox) -> None:
    """`/generate` for programs: the bytes that the page would show, as a file."""
    output = gr.Image(label="picture", visible=False)

    async def generate(prompt: str, seed: str) -> str:
        """Make the picture of a prompt: a JPEG file, the same for the same prompt and seed."""
        try:
            made = await studio.make(prompt, seed)
        except SDXSError as error:
            raise gr.Error(str(error), print_exception=False) from None
        if made.warning:
            gr.Warning(made.warning)
        return save_bytes_to_cache(made.file, "picture.jpg", output.GRADIO_CACHE)

    gr.Button(visible=False).click(
        generate, [prompt, seed], output, api_name="generate", api_visibility="public"
    )


def _about_html(about: About) -> str:
    """The model in use, why it, and how to get the real one."""
    lines = [f"<h3>{escape(about.title)}</h3>"]
    if about.facts:
        lines.append(f"<p class='sdxs-facts'>{' · '.join(map(escape, about.facts))}</p>")
    if about.safety:
        lines.append(f"<p>{escape(about.safety)}</p>")
    if about.why:
        lines.append(f"<p>Why this one: {escape(about.why)}.</p>")
    if about.command:
        lines.append(
            f"<p>The real model, which is downloaded once:</p><pre>{escape(about.command)}</pre>"
        )
    return "\n".join(lines)


def _literal(text: str) -> str:
    """Gradio reads a filled template as a JavaScript template literal: nothing in it may act."""
    return re.sub(r"[\\`$]", r"\\\g<0>", text)


def _read(name: str) -> str:
    return (FILES / name).read_text(encoding="utf-8")


def theme() -> gr.themes.Base:
    """Calm colours, and fonts that the visitor's machine has: nothing is fetched."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.stone,
        radius_size=gr.themes.sizes.radius_lg,
        font=SYSTEM_FONT,
        font_mono=SYSTEM_MONO,
    ).set(
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        background_fill_primary="white",
        background_fill_primary_dark="*neutral_900",
        background_fill_secondary="*neutral_100",
        background_fill_secondary_dark="*neutral_800",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_border_width_dark="0px",
        block_padding="0px",
        block_label_text_size="*text_sm",
        input_background_fill="white",
        input_background_fill_dark="*neutral_900",
        input_border_width="1px",
        input_border_width_dark="1px",
        input_border_color="*neutral_200",
        input_border_color_dark="*neutral_700",
        input_border_color_focus="*primary_500",
        input_border_color_focus_dark="*primary_500",
        input_radius="14px",
        button_secondary_background_fill="white",
        button_secondary_background_fill_dark="*neutral_900",
        button_secondary_border_color="*neutral_200",
        button_secondary_border_color_dark="*neutral_700",
        button_border_width="1px",
        button_border_width_dark="1px",
        button_secondary_text_color="*body_text_color",
    )
