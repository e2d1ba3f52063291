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

from sdxs.errors import SDXSError
from sdxs.page import theme, widgets
from sdxs.page.about import About
from sdxs.page.answers import Answers, sentence
from sdxs.page.guard import guard
from sdxs.page.options import Picture, Place
from sdxs.page.widgets import FILES, Field


class Page(gr.Blocks):
    """Blocks that launch with our look, and with the limits that a public page needs.

    starts: what options are at first, by field, where it is not what their rows say.
    """

    def __init__(self, answers: Answers, about: About, *scripts: str, **starts: str) -> None:
        super().__init__(title="SDXS", analytics_enabled=False, delete_cache=(600, 1800))
        self.queue(max_size=64, default_concurrency_limit=4)
        self._answers, self._about, self._starts = answers, about, starts
        self._scripts = scripts
        self._fields: dict[str, Field] = {}

    def launch(self, *arguments: Any, **options: Any) -> Any:
        ours: dict[str, Any] = {
            "theme": look(),
            "head": "".join(map(widgets.script, self._scripts)),
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

    def offer(self, place: Place) -> None:
        """Make the widgets of the options that have their place here."""
        for row in self._answers.rows:
            if row.place == place:
                start = self._starts.get(row.field)
                self._fields[row.field] = widgets.widget(row, self._about, start)

    def suggest(self, look: str) -> None:
        """Texts to click, which go to the prompt: "examples", or the "words" that a model knows."""
        prompt = self._fields["prompt"]
        if look == "examples":
            widgets.chips(look, "Try", {"": self._about.examples}, prompt, "sdxs.choose")
        else:
            widgets.chips(look, "Words it knows", self._about.words, prompt, "sdxs.append")

    def listen(self) -> None:
        """Whatever changes asks for a picture: a request is the fields' values by their names."""
        rows = [row for row in self._answers.rows if not isinstance(row.widget, Picture)]
        fields = {row.field: self._fields[row.field] for row in rows}
        # `change`, not `input`: a textbox fires the latter for keys that write a character alone,
        # not for backspace, paste, dictation or a phone's keyboard.
        script = f"(...values) => sdxs.changed({json.dumps(list(fields))}, values)"
        for event in (*(field.change for field in fields.values()), self.load):
            event(None, list(fields.values()), js=script)
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
    generate: Callable[..., Image.Image],
    *,
    about: About | None = None,
    welcome: Image.Image | None = None,
    style: str = "",
) -> Page:
    """A page on which the picture follows the typing.

    `generate(prompt, seed=...)` makes a picture; it is also given the keywords of other options
    that the visitor chose, see `options`, of those that `about` offers. What an SDXSError or a
    warning of ours says is shown to the visitor. `welcome` is the picture of the first example with
    seed 0, shown until the visitor types. `style` is the one that is chosen at first, and that
    `welcome` wears.
    """
    about = about or About()
    answers = Answers(generate, about)
    page = Page(answers, about, "page.js", style=style)
    with page:
        widgets.head("Type, and the picture follows.")
        with gr.Row(elem_id="sdxs-columns"):
            with gr.Column(elem_id="sdxs-left", min_width=300):
                page.offer("prompt")
                widgets.stage(answers, about, welcome, style)
                page.suggest("examples")
            with gr.Column(elem_id="sdxs-right", min_width=300):
                page.offer("seed")
                page.offer("more")
                page.suggest("words")
                widgets.facts(about)
        page.listen()
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
    answers = Answers(generate, about, condition)
    page = Page(answers, about, "page.js", "drawing.js", "canvas.js", prompt=about.examples[0])
    with page:
        widgets.head("Draw, and the picture follows.")
        page.offer("prompt")
        with gr.Row(elem_id="sdxs-columns", elem_classes="sdxs-drawn"):
            with gr.Column(elem_id="sdxs-left", min_width=300):
                page.offer("canvas")
            with gr.Column(elem_id="sdxs-right", min_width=300):
                widgets.stage(answers, about)
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


def look() -> gr.themes.Base:
    """The theme of `theme.py`."""
    return gr.themes.Base(**theme.BASE).set(**theme.SET)
