"""The pages: what is where on them, and what a change of it sets going.

Each page receives a function from a prompt to a picture and some plain facts to show; it knows
nothing of torch, models or files of weights. The talk between browser and server (one picture in
the making, the newest request waiting) is `page.js` and `answers.py`; what stands before a
served page is `sdxs/server/front.py`.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI
from gradio.utils import get_upload_folder
from PIL import Image

from sdxs.metadata.marker import Marker
from sdxs.page import endpoints, theme, widgets
from sdxs.page.answers import Answers
from sdxs.page.exports import Exports
from sdxs.page.listening import in_its_time
from sdxs.page.opened import interface
from sdxs.page.widgets import FILES, Field
from sdxs.programs.mounts import programs
from sdxs.server.front import Front
from sdxs.service.about import About
from sdxs.service.kinds import Picture, Place
from sdxs.service.making import Rebuilt
from sdxs.service.turns import MOST_WAITING

SCRIPTS = (
    *("server.js", "kept.js", "heard.js", "place.js", "page.js", "keys.js", "room.js"),
    *("links.js", "shelf.js", "rewind.js"),  # of what a page is opened with, a link comes first
    *("pictures.js", "carried.js", "dropped.js"),
    *("final.js", "variety.js", "numbers.js", "words.js", "walk.js", "acting.js"),
)
CANVAS_SCRIPTS = "drawing.js", "canvas.js"
LOOKS = (
    "page.css", "canvas.css", "rewind.css", "variety.css", "numbers.css", "words.css", "walk.css",
    "room.css", "hands.css",
)  # fmt: skip

OFF = "run_history", "enable_monitoring", "mcp_server", "pwa", "ssr_mode"  # of Gradio's own
THREADS = 2 * MOST_WAITING  # of Gradio's queue: with fewer it would hold some back
SESSIONS = 100  # of which Gradio keeps what pages have none of


class Page(gr.Blocks):
    """Blocks that launch with our look, and with the limits that a public page needs. starts: what
    options are at first, by field, where it is not what their rows say. tools: for language
    models, by MCP where that is installed."""

    def __init__(self, answers: Answers, *scripts: str, tools: bool = False, **starts: str) -> None:
        super().__init__(title="SDXS", analytics_enabled=False, delete_cache=(600, 1800))
        # who is next, and how many may wait, is for `Turns` to say
        self.queue(max_size=None, default_concurrency_limit=None)
        self.front = Front()
        self._answers, self._starts, self._tools = answers, starts, tools
        self._scripts = (*scripts, "lent.js") if answers.about.lent else scripts
        self._fields: dict[str, Field] = {}
        self._exports = Exports(answers)

    def launch(self, *arguments: Any, front: Front | None = None, **options: Any) -> Any:
        ours = self._served(front or self.front, options.get("root_path") or "")
        ours |= {"max_threads": THREADS, "state_session_capacity": SESSIONS}
        ours |= {"debug": False, "share": False}
        with in_its_time():
            return super().launch(*arguments, **(ours | options))

    def mounted(self, front: Front, root_path: str = "") -> FastAPI:
        """The page as an ASGI application, for a server that is not Gradio's own."""
        self.state_session_capacity, self.max_threads = SESSIONS, THREADS
        self._queue.max_thread_count = THREADS  # as `launch` has it
        app: Any = FastAPI(openapi_url=None)
        ours = self._served(front, root_path)
        mounted: FastAPI = gr.mount_gradio_app(
            app, self, "", root_path=root_path or None, show_error=False, **ours
        )
        return mounted

    def _served(self, front: Front, root_path: str) -> dict[str, Any]:
        """What Gradio is told, whatever serves it; and what stands in front knows the page."""
        self.front, answers = front, self._answers
        answers.hearer, answers.bounds = front, front.bounds(answers.about.size)
        front.waiting = answers.waiting
        front.state.alive = lambda: not answers.broken
        return {
            **dict.fromkeys(OFF, False),
            "theme": gr.themes.Base(**theme.BASE).set(**theme.SET),
            "head": "".join(map(widgets.script, self._scripts)),
            "css_paths": [FILES / name for name in LOOKS],
            "footer_links": ["api"],
            "app_kwargs": front.app(
                interface(self),
                Path(get_upload_folder()),
                **programs(answers, root_path, self._tools),
            ),
            "max_file_size": "8mb",
            "allowed_paths": [],
        }

    def end(self) -> None:
        """Nothing is made any more, and whoever waits is told. For any thread."""
        self._answers.end()

    def owes(self) -> bool:
        """Whether a program has not heard yet what became of what it asked for."""
        return any(self._queue.pending_event_ids_session.values())

    def offer(self, place: Place) -> None:
        """Make the widgets of the options that have their place here."""
        for row in self._answers.rows:
            if row.place == place:
                start = self._starts.get(row.field)
                self._fields[row.field] = widgets.widget(row, self._answers.about, start)
        if place == "prompt" and self._answers.about.lent:
            widgets.lent()
        if place == "seed":
            widgets.variety(self._answers, self._fields["seed"])

    def suggest(self, look: str) -> None:
        """Texts to click, which go to the prompt: "examples", or the "words" that a model knows."""
        about, prompt = self._answers.about, self._fields["prompt"]
        if look == "examples":
            widgets.chips(look, "Try", {"": about.examples}, prompt, "sdxs.choose")
        else:
            widgets.chips(look, "Words it knows", about.words, prompt, "sdxs.append")

    def doubt(self) -> None:
        """The words of the prompt that the model does not know, where it lists those it knows."""
        if self._answers.about.words:
            prompt = self._fields["prompt"]
            line = widgets.unknown(self._answers.about)
            prompt.change(None, prompt, None, js="sdxsWords.read")
            line.input(None, line, prompt, js="sdxs.choose")

    def offer_walk(self) -> None:
        """The way to another picture, out of sight until somebody wants it."""
        with gr.Accordion("Walk", open=False, elem_id="sdxs-walk-part") as part:
            self.offer("walk")
            widgets.exporter(self._exports)
        for event, is_open in ((self.load, False), (part.expand, True), (part.collapse, False)):
            event(None, js=f"() => sdxsWalk.opened({json.dumps(is_open)})")

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
        if about.lent:
            entered = f"(...values) => sdxsLent.entered({json.dumps(settings)}, values)"
            prompt: Any = self._fields["prompt"]
            prompt.submit(None, fields, js=entered)
        back = widgets.own("back.html", js_on_load="sdxs.returns(trigger);", elem_id="sdxs-back")
        back.input(None, fields, fields, js="sdxs.brought")
        endpoints.offer(self, self._answers, self._exports, self._fields)


def text_page(
    generate: Callable[..., Any],
    *,
    about: About | None = None,
    welcome: Image.Image | None = None,
    style: str = "",
    together: int = 1,
    marker: Marker | None = None,
    tools: bool = False,
    rebuilt: Rebuilt | None = None,
) -> Page:
    """A page on which the picture follows the typing.

    `generate(prompt, seed=...)` makes a picture, and up to `together` of them by one call, see
    `Answers`; what an SDXSError or a warning of ours says is shown to the visitor. `welcome` is the
    picture of the first example with seed 0, shown until the visitor types. `style` is the one that
    is chosen at first, and that it wears. `marker` writes what files say. `tools`: see `Page`.
    `rebuilt`: see `Maker`.
    """
    answers = Answers.local(generate, about, None, together, marker, rebuilt)
    return text(answers, welcome, style, tools)


def text(
    answers: Answers, welcome: Image.Image | None = None, style: str = "", tools: bool = False
) -> Page:
    """The same, wherever its pictures are painted."""
    page = Page(answers, *SCRIPTS, tools=tools, style=style)
    with page:
        widgets.head("Type, and the picture follows.")
        with gr.Row(elem_id="sdxs-columns"):
            with gr.Column(elem_id="sdxs-left", min_width=300):
                page.offer("prompt")
                page.doubt()
                widgets.stage(answers, welcome, style)
                widgets.rewind(answers, style)
                page.suggest("examples")
            with gr.Column(elem_id="sdxs-right", min_width=300):
                page.offer("seed")
                page.offer("more")
                page.offer_walk()
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
    marker: Marker | None = None,
    tools: bool = False,
    rebuilt: Rebuilt | None = None,
) -> Page:
    """A page on which the picture follows the stroke.

    `condition(name, picture)`, see `Answers`, makes of the canvas what a control follows. Then
    `generate` is given it as `control_image=...`, with `control=...` and `control_scale=...`, and
    nothing of these while the canvas is blank. For the rest see `text_page`.
    """
    answers = Answers.local(generate, about, condition, together, marker, rebuilt)
    return sketch(answers, tools)


def sketch(answers: Answers, tools: bool = False) -> Page:
    """The same, wherever its pictures are painted."""
    first = answers.about.examples[0]
    page = Page(answers, *SCRIPTS, *CANVAS_SCRIPTS, tools=tools, prompt=first)
    with page:
        widgets.head("Draw, and the picture follows.")
        page.offer("prompt")
        page.doubt()
        with gr.Row(elem_id="sdxs-columns", elem_classes="sdxs-drawn"):
            with gr.Column(elem_id="sdxs-left", min_width=300):
                page.offer("canvas")
                page.offer("strength")
            with gr.Column(elem_id="sdxs-right", min_width=300):
                widgets.stage(answers)
        widgets.rewind(answers)
        with gr.Row(elem_id="sdxs-below"):
            with gr.Column(min_width=300):
                for place in ("followed", "seed", "more"):
                    page.offer(place)
                page.offer_walk()
                widgets.facts(answers.about)
            with gr.Column(min_width=300):
                page.suggest("examples")
                page.suggest("words")
        page.listen()
    return page
