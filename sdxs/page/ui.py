"""The pages: what is where on them, and what a change of it sets going.

Each page receives a function from a prompt to a picture and some plain facts to show; it knows
nothing of torch, models or files of weights. The talk between browser and server (one picture in
the making, the newest request waiting) is `page.js` and `answers.py`; the public limits are in
`Page.launch`.
"""

import inspect
import json
from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from PIL import Image
from starlette.middleware import Middleware

from sdxs.errors import SDXSError
from sdxs.page import theme, widgets
from sdxs.page.about import About
from sdxs.page.answers import Answers, sentence
from sdxs.page.guard import Guard
from sdxs.page.options import Picture, Place
from sdxs.page.widgets import FILES, Field

SCRIPTS = (
    *("server.js", "kept.js", "page.js"),
    *("links.js", "shelf.js", "rewind.js"),  # of what a page is opened with, a link comes first
    *("pictures.js", "carried.js", "dropped.js"),
)
CANVAS_SCRIPTS = "drawing.js", "canvas.js"
LOOKS = "page.css", "canvas.css", "rewind.css"


class Page(gr.Blocks):
    """Blocks that launch with our look, and with the limits that a public page needs. starts: what
    options are at first, by field, where it is not what their rows say."""

    def __init__(self, answers: Answers, *scripts: str, **starts: str) -> None:
        super().__init__(title="SDXS", analytics_enabled=False, delete_cache=(600, 1800))
        self.queue(max_size=64, default_concurrency_limit=4)
        self._answers, self._scripts, self._starts = answers, scripts, starts
        self._fields: dict[str, Field] = {}

    def launch(self, *arguments: Any, **options: Any) -> Any:
        ours: dict[str, Any] = {
            "theme": gr.themes.Base(**theme.BASE).set(**theme.SET),
            "head": "".join(map(widgets.script, self._scripts)),
            "css_paths": [FILES / name for name in LOOKS],
            "footer_links": ["api"],
            "app_kwargs": {"middleware": [Middleware(Guard)]},
            "max_file_size": "8mb",
            "state_session_capacity": 1000,
            "allowed_paths": [],
        }
        off = ("run_history", "enable_monitoring", "mcp_server", "pwa", "share", "ssr_mode")
        return super().launch(*arguments, **(dict.fromkeys(off, False) | ours | options))

    def offer(self, place: Place) -> None:
        """Make the widgets of the options that have their place here."""
        for row in self._answers.rows:
            if row.place == place:
                start = self._starts.get(row.field)
                self._fields[row.field] = widgets.widget(row, self._answers.about, start)

    def suggest(self, look: str) -> None:
        """Texts to click, which go to the prompt: "examples", or the "words" that a model knows."""
        about, prompt = self._answers.about, self._fields["prompt"]
        if look == "examples":
            widgets.chips(look, "Try", {"": about.examples}, prompt, "sdxs.choose")
        else:
            widgets.chips(look, "Words it knows", about.words, prompt, "sdxs.append")

    def listen(self) -> None:
        """Whatever changes asks for a picture: a request is the fields' values by their names."""
        about = self._answers.about
        rows = [row for row in self._answers.rows if not isinstance(row.widget, Picture)]
        fields = [self._fields[row.field] for row in rows]
        settings = {
            row.field: {"start": field.value, "choices": list(row.names(about)) or None}
            for row, field in zip(rows, fields, strict=True)
        }
        # `change`, not `input`: a textbox fires the latter for keys that write a character alone,
        # not for backspace, paste, dictation or a phone's keyboard.
        changed, begin = (
            f"(...values) => sdxs.{event}({json.dumps(settings)}, values)"
            for event in ("changed", "begin")
        )
        for field in fields:
            field.change(None, fields, js=changed)
        self.load(None, fields, fields, js=begin)
        back = widgets.own("back.html", js_on_load="sdxs.returns(trigger);", elem_id="sdxs-back")
        back.input(None, fields, fields, js="sdxs.brought")
        self._serve_programs()

    def _serve_programs(self) -> None:
        """`/generate` for programs: the bytes that the page would show, as a file."""
        output = gr.Image(label="picture", visible=False)
        names = [row.field for row in self._answers.rows if row.programs]

        async def generate(*values: Any) -> str:
            """Make the picture of a prompt: a JPEG file, the same for the same request.

            On a page with a canvas, `drawing` is a data URL of a PNG, JPEG or WebP picture.
            """
            try:
                made = await self._answers.make(dict(zip(names, values, strict=True)))
            except SDXSError as error:
                raise gr.Error(sentence(error), print_exception=False) from None
            if made.warning:
                gr.Warning(made.warning)
            return str(save_bytes_to_cache(made.file, "picture.jpg", output.GRADIO_CACHE))

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD  # Gradio names the parameters by them
        named = inspect.Signature([inspect.Parameter(name, kind) for name in names])
        generate.__signature__ = named  # type: ignore[attr-defined]
        inputs = [self._fields[name] for name in names]
        gr.Button(visible=False).click(
            generate, inputs, output, api_name="generate", api_visibility="public"
        )


def text_page(
    generate: Callable[..., Any],
    *,
    about: About | None = None,
    welcome: Image.Image | None = None,
    style: str = "",
    together: int = 1,
) -> Page:
    """A page on which the picture follows the typing.

    `generate(prompt, seed=...)` makes a picture, and up to `together` of them by one call, see
    `Answers`; what an SDXSError or a warning of ours says is shown to the visitor. `welcome` is the
    picture of the first example with seed 0, shown until the visitor types. `style` is the one that
    is chosen at first, and that it wears.
    """
    answers = Answers(generate, about, together=together)
    page = Page(answers, *SCRIPTS, style=style)
    with page:
        widgets.head("Type, and the picture follows.")
        with gr.Row(elem_id="sdxs-columns"):
            with gr.Column(elem_id="sdxs-left", min_width=300):
                page.offer("prompt")
                widgets.stage(answers, welcome, style)
                widgets.rewind(answers, style)
                page.suggest("examples")
            with gr.Column(elem_id="sdxs-right", min_width=300):
                page.offer("seed")
                page.offer("more")
                page.suggest("words")
                widgets.facts(answers.about)
        page.listen()
    return page


def sketch_page(
    generate: Callable[..., Any],
    condition: Callable[[str, Image.Image], Image.Image],
    *,
    about: About,
    together: int = 1,
) -> Page:
    """A page on which the picture follows the stroke.

    `condition(name, picture)`, see `Answers`, makes of the canvas what a control follows. Then
    `generate` is given it as `control_image=...`, with `control=...` and `control_scale=...`, and
    nothing of these while the canvas is blank. For the rest see `text_page`.
    """
    answers = Answers(generate, about, condition, together)
    page = Page(answers, *SCRIPTS, *CANVAS_SCRIPTS, prompt=about.examples[0])
    with page:
        widgets.head("Draw, and the picture follows.")
        page.offer("prompt")
        with gr.Row(elem_id="sdxs-columns", elem_classes="sdxs-drawn"):
            with gr.Column(elem_id="sdxs-left", min_width=300):
                page.offer("canvas")
            with gr.Column(elem_id="sdxs-right", min_width=300):
                widgets.stage(answers)
        widgets.rewind(answers)
        with gr.Row(elem_id="sdxs-below"):
            with gr.Column(min_width=300):
                for place in ("followed", "strength", "seed", "more"):
                    page.offer(place)
                widgets.facts(about)
            with gr.Column(min_width=300):
                page.suggest("examples")
                page.suggest("words")
        page.listen()
    return page
