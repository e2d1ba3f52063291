"""The pages: what a visitor sees and clicks, in Gradio's components and a few of our own.

Each page receives a function from a prompt to a picture and some plain facts to show; it knows
nothing of torch, models or files of weights. The talk between browser and server (one picture in
the making, the newest request waiting) is `page/page.js` and `studio.py`, the canvas is
`page/canvas.js`; the public limits are in `Page.launch`. The only file that imports Gradio.
"""

import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from PIL import Image

from sdxs.arguments import LARGEST_SCALE
from sdxs.conditions import CONDITIONS
from sdxs.errors import SDXSError
from sdxs.page.about import FIRST_SEED, About
from sdxs.page.answers import BLANK, Studio, data_url
from sdxs.page.guard import guard
from sdxs.picture import encode

FILES = Path(__file__).parent
Field = gr.Textbox | gr.Radio | gr.Slider | gr.Checkbox
CANVAS_SIDE = 512, 1024  # pixels of a canvas's longer side, at least and at most
SYSTEM_FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")  # none is fetched
SYSTEM_MONO = ("ui-monospace", "Menlo", "Consolas", "monospace")


class Page(gr.Blocks):
    """Blocks that launch with our look, and with the limits that a public page needs."""

    def __init__(self, *scripts: str) -> None:
        super().__init__(title="SDXS", analytics_enabled=False, delete_cache=(600, 1800))
        self.queue(max_size=64, default_concurrency_limit=4)
        self._scripts = scripts

    def launch(self, *arguments: Any, **options: Any) -> Any:
        ours: dict[str, Any] = {
            "theme": theme(),
            "head": "".join(f"<script>{_read(name)}</script>" for name in self._scripts),
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


def text_page(
    generate: Callable[..., Image.Image],
    *,
    about: About | None = None,
    welcome: Image.Image | None = None,
    style: str = "",
) -> Page:
    """A page on which the picture follows the typing.

    `generate(prompt, seed=...)` makes a picture; where `about.decoders` names more than one, it is
    also given `decoder=...`, and `style=...` and `style_scale=...` where the visitor chose one of
    `about.styles`. An SDXSError or a warning of ours is shown to the visitor as it is. `welcome` is
    the picture of the first example with seed 0, shown until the visitor types. `style` is the one
    that is chosen at first, and that `welcome` wears.
    """
    about = about or About()
    studio = Studio(
        generate,
        choices=_choices(about),
        templates=about.templates,
        checkpoint=about.checkpoint,
    )
    with Page("page.js") as page:
        _head("Type, and the picture follows.")
        with gr.Row(elem_id="sdxs-columns"):
            with gr.Column(elem_id="sdxs-left", min_width=300):
                prompt = _prompt(about)
                _stage(studio, about, welcome, style)
                examples = _chips("examples", "Try", {"": about.examples})
            with gr.Column(elem_id="sdxs-right", min_width=300):
                seed, dice = _seed()
                options = _options(about, style)
                words = _chips("words", "Words it knows", about.words)
                gr.HTML(about.html(), elem_id="sdxs-about", apply_default_css=False)
        fields = {"prompt": prompt, "seed": seed, **options}
        _asks(page, fields)
        _clicks(prompt, seed, dice, examples, words)
        _program_interface(studio, fields)
    return page


def sketch_page(
    generate: Callable[..., Image.Image],
    condition: Callable[[str, Image.Image], Image.Image],
    *,
    about: About,
) -> Page:
    """A page on which the picture follows the stroke.

    `condition(name, picture)` makes of what is on the canvas what a control follows, for a name of
    `about.conditions`; `generate` is then given it as `control_image=...`, with `control=...` and
    `control_scale=...`, and nothing of these while the canvas is blank. For the rest see
    `text_page`.
    """
    studio = Studio(
        generate,
        choices={**_choices(about), "condition": about.conditions},
        templates=about.templates,
        condition=condition,
        checkpoint=about.checkpoint,
    )
    with Page("page.js", "canvas.js") as page:
        _head("Draw, and the picture follows.")
        prompt = _prompt(about, value=about.examples[0])
        with gr.Row(elem_id="sdxs-columns", elem_classes="sdxs-drawn"):
            with gr.Column(elem_id="sdxs-left", min_width=300):
                _canvas(about)
            with gr.Column(elem_id="sdxs-right", min_width=300):
                _stage(studio, about)
        with gr.Row(elem_id="sdxs-below"):
            with gr.Column(min_width=300):
                ways = [(CONDITIONS[name].title, name) for name in about.conditions]
                way = _choice("Condition", ways, label="What is followed")
                strength = gr.Slider(
                    0, LARGEST_SCALE, 1, step=0.05, label="How closely", elem_id="sdxs-strength"
                )
                seed, dice = _seed()
                options = _options(about)
                gr.HTML(about.html(), elem_id="sdxs-about", apply_default_css=False)
            with gr.Column(min_width=300):
                examples = _chips("examples", "Try", {"": about.examples})
                words = _chips("words", "Words it knows", about.words)
        if way:
            options["condition"] = way
        options = {"strength": strength, **options}
        _asks(page, {"prompt": prompt, "seed": seed, **options})
        _clicks(prompt, seed, dice, examples, words)
        drawing = gr.Textbox("", label="drawing", visible=False)  # the canvas, for programs
        _program_interface(studio, {"prompt": prompt, "seed": seed, "drawing": drawing, **options})
    return page


def _choices(about: About) -> dict[str, Sequence[str]]:
    """What a request may choose among, by its field."""
    decoders = about.decoders if len(about.decoders) > 1 else ()
    return {"decoder": decoders, "style": about.styles}


def _head(line: str) -> None:
    gr.HTML(
        None,
        html_template=_read("head.html"),
        line=line,
        elem_id="sdxs-head",
        apply_default_css=False,
    )


def _prompt(about: About, value: str = "") -> gr.Textbox:
    return gr.Textbox(
        value,
        label="Prompt",
        show_label=False,
        placeholder=about.examples[0] if about.examples else None,
        elem_id="sdxs-prompt",
        autofocus=True,
        max_lines=4,
        html_attributes=gr.InputHTMLAttributes(autocomplete="off", spellcheck=False),
    )


def _seed() -> tuple[gr.Textbox, gr.Button]:
    """The seed, and the dice that roll it."""
    with gr.Row(elem_id="sdxs-seed-row"):
        seed = gr.Textbox(str(FIRST_SEED), label="Seed", elem_id="sdxs-seed", max_lines=1, scale=3)
        dice = gr.Button("Another", elem_id="sdxs-dice", min_width=130)
    return seed, dice


def _options(about: About, style: str = "") -> dict[str, Field]:
    """What else can be chosen on any page, by the field of a request; only what there is.

    style: the one that is chosen at first.
    """
    plain = [("none", "")]
    found: dict[str, Field | None] = {}
    if about.styles:
        styles = [*plain, *((name, name) for name in about.styles)]
        found["style"] = _choice("Style", styles, value=style)
        found["style_scale"] = gr.Slider(
            0, LARGEST_SCALE, 1, step=0.05, label="How much of it", elem_id="sdxs-style-scale"
        )
        found["compare"] = gr.Checkbox(label="Compare with and without", elem_id="sdxs-compare")
    templates = [*plain, *((name, name) for name in about.templates)]
    found["template"] = _choice("Template", templates)
    found["decoder"] = _choice("Decoder", [(name, name) for name in _choices(about)["decoder"]])
    return {name: chooser for name, chooser in found.items() if chooser is not None}


def _asks(page: Page, fields: Mapping[str, Field]) -> None:
    """Whatever changes asks for a picture: a request is the fields' values by their names."""
    # `change`, not `input`: a textbox fires the latter for keys that write a character alone,
    # not for backspace, paste, dictation or a phone's keyboard.
    script = f"(...values) => sdxs.changed({json.dumps(list(fields))}, values)"
    for event in (*(field.change for field in fields.values()), page.load):
        event(None, list(fields.values()), js=script)


def _clicks(
    prompt: gr.Textbox,
    seed: gr.Textbox,
    dice: gr.Button,
    examples: gr.HTML | None,
    words: gr.HTML | None,
) -> None:
    dice.click(None, None, seed, js="sdxs.roll")
    if examples:
        examples.input(None, examples, prompt, js="sdxs.choose")
    if words:
        words.input(None, [words, prompt], prompt, js="sdxs.append")


def _choice(
    name: str, options: list[tuple[str, str]], label: str = "", value: str = ""
) -> gr.Radio | None:
    """One of a few (label, value), the first one at the start; nothing where there is no choice."""
    if len(options) < 2:
        return None
    value = value or options[0][1]
    return gr.Radio(options, value=value, label=label or name, elem_id=f"sdxs-{name.lower()}")


def _stage(
    studio: Studio, about: About, welcome: Image.Image | None = None, style: str = ""
) -> gr.HTML:
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
            "request": {"prompt": about.examples[0], "seed": str(FIRST_SEED), "style": style},
        }
    return gr.HTML(
        first,
        html_template=_read("stage.html"),
        js_on_load="sdxs.connect(element, server, props.value.request);",
        server_functions=[paint, download],
        width=about.size[0],
        height=about.size[1],
        follows=bool(about.conditions),
        compares=bool(about.styles),
        elem_id="sdxs-stage",
        apply_default_css=False,
    )


def _canvas(about: About) -> gr.HTML:
    """What is drawn on, see canvas.js: in the model's shape, and large enough for a fine line."""
    longer = max(about.size)
    scale = min(max(longer, CANVAS_SIDE[0]), CANVAS_SIDE[1]) / longer
    width, height = (round(side * scale) for side in about.size)
    return gr.HTML(
        None,
        html_template=_read("canvas.html"),
        js_on_load="sdxsCanvas.connect(element, sdxs);",
        width=width,
        height=height,
        elem_id="sdxs-canvas",
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


def _program_interface(studio: Studio, fields: Mapping[str, Field]) -> None:
    """`/generate` for programs: the bytes that the page would show, as a file."""
    output = gr.Image(label="picture", visible=False)
    given = {name: field for name, field in fields.items() if name != "compare"}

    async def generate(*values: Any) -> str:
        """Make the picture of a prompt: a JPEG file, the same for the same request.

        On a page with a canvas, `drawing` is a data URL of a PNG, JPEG or WebP picture.
        """
        asked = dict(zip(given, values, strict=True))
        chosen = {name: value for name, value in asked.items() if value not in ("", None)}
        try:
            made = await studio.make(**{"prompt": "", "seed": "", **chosen})
        except SDXSError as error:
            raise gr.Error(str(error), print_exception=False) from None
        if made.warning:
            gr.Warning(made.warning)
        return save_bytes_to_cache(made.file, "picture.jpg", output.GRADIO_CACHE)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD  # Gradio names the parameters by them
    named = inspect.Signature([inspect.Parameter(name, kind) for name in given])
    generate.__signature__ = named  # type: ignore[attr-defined]
    gr.Button(visible=False).click(
        generate, list(given.values()), output, api_name="generate", api_visibility="public"
    )


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
