"""What is on a page: the options' widgets in Gradio's components, and a few elements of our own.

Our own are an HTML template each, brought to life by page.js and canvas.js. Knows nothing of what
becomes of a request.
"""

import functools
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from sdxs import film, walks
from sdxs.arguments import LARGEST_SEED
from sdxs.page.answers import BLANK, SEEDS, Answers
from sdxs.page.exports import Exports
from sdxs.service.about import FIRST_SEED, About
from sdxs.service.drawings import data_url
from sdxs.service.kinds import Choice, Option, Picture, Prompt, Slider, Switch, Text

FILES = Path(__file__).parent / "browser"
Field = gr.Textbox | gr.Radio | gr.Slider | gr.Checkbox
NUMBER = {"type": "integer", "minimum": 0, "maximum": LARGEST_SEED}
WHOLE = {"anyOf": [NUMBER, {"type": "string"}]}  # of a line for a number, as programs see it
CANVAS_SIDE = 512, 1024  # pixels of a canvas's longer side, at least and at most


def widget(row: Option, about: About, start: Any = None) -> Field:
    """An option's widget, at the place where it is made; its value is the option's in a request."""
    name = f"sdxs-{row.field.replace('_', '-')}"
    start = row.start if start is None else start
    named: dict[str, Any] = {"label": row.label, "elem_id": name}
    match row.widget:
        case Prompt():
            example = about.examples[0] if about.examples else None
            as_typed = gr.InputHTMLAttributes(autocomplete="off", spellcheck=False)
            return gr.Textbox(
                start or "", placeholder=example, show_label=False, autofocus=True, max_lines=4,
                html_attributes=as_typed, **named,
            )  # fmt: skip
        case Text(rolls=True):
            with gr.Row(elem_id=f"{name}-row"):
                first = "" if start is None else str(start)
                text = gr.Textbox(first, max_lines=1, scale=3, **named)
                dice = gr.Button("Another", elem_id=name.replace("seed", "dice"), min_width=130)
            # of a subclass Gradio would write a .pyi beside this file
            text.api_info = lambda: WHOLE  # type: ignore[method-assign]
            dice.click(None, None, text, js="sdxs.roll")
            return text
        case Slider(low, high, step):
            return gr.Slider(low, high, start, step=step, **named)
        case Switch():
            return gr.Checkbox(start, **named)
        case Choice():
            names = row.names(about)
            options = [(label, name) for name, label in names.items()]
            return gr.Radio(options, value=next(iter(names)) if start is None else start, **named)
        case Picture():
            canvas(about)
            return gr.Textbox("", label=row.label, visible=False)  # the canvas, for programs
    return gr.Textbox(start or "", max_lines=1, **named)


def own(template: str, value: Any = None, **props: Any) -> gr.HTML:
    """An element of ours."""
    return gr.HTML(value, html_template=_read(template), apply_default_css=False, **props)


def called(*methods: Callable[[Any], Awaitable[Any]]) -> list[Callable[[Any], Awaitable[Any]]]:
    """Functions that a script calls by the methods' names: Gradio leaves a mark on its own, which a
    method does not take."""

    def function(method: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
        @functools.wraps(method)
        async def called(request: Any) -> Any:
            return await method(request)

        return called

    return [function(method) for method in methods]


def head(line: str) -> None:
    """The page's name, and what it does in a line."""
    own("head.html", js_on_load="sdxsKeys.connect(element);", line=line, elem_id="sdxs-head")


def facts(about: About) -> None:
    """The model in use, why it, and how to get the real one."""
    gr.HTML(about.html(), elem_id="sdxs-about", apply_default_css=False)


def stage(answers: Answers, welcome: Image.Image | None = None, style: str = "") -> None:
    """The picture, the line above it, and what is below, see page.js. welcome: the picture of the
    first example with the first seed, in this style."""
    about = answers.about
    first: dict[str, Any] = {"note": BLANK}
    if welcome is not None:
        request = {"prompt": about.examples[0], "seed": str(FIRST_SEED), "style": style}
        file = answers.labels.file(welcome, answers.checked(request))
        first |= {"took": "An example", "picture": data_url(file, "jpeg"), "request": request}
    own(
        "stage.html",
        first,
        js_on_load="""
            sdxs.connect(element, server, props.value.request);
            sdxsLinks.connect(element, sdxs, props.checkpoint);
            sdxsHeard.connect(element);
            sdxsRoom.connect(element);
            sdxsNumbers.connect(element);
            sdxsActing.connect(element, sdxs);
        """,
        server_functions=called(answers.paint, answers.place, answers.download, answers.read),
        width=about.size[0],
        height=about.size[1],
        follows=bool(about.conditions),
        compares=bool(about.styles),
        checkpoint=about.checkpoint,
        elem_id="sdxs-stage",
    )


def lent() -> None:
    """What has a picture painted where it does not come by itself, see lent.js."""
    own("lent.html", js_on_load="sdxsLent.connect(element);", elem_id="sdxs-lent")


def unknown(about: About) -> gr.HTML:
    """A line for words of the prompt that the model does not know, see words.js."""
    lexicon = {"words": about.words, "fillers": about.fillers, "near": about.near}
    start = "sdxsWords.connect(element, props, trigger);  // fires 'input'"
    return own("unknown.html", js_on_load=start, lexicon=lexicon, elem_id="sdxs-unknown-line")


def exporter(exports: Exports) -> None:
    """Makes a file of the walk, see walk.js."""
    usual = walks.FRAMES if walks.FRAMES in exports.counts else exports.counts[-1]
    own(
        "walk.html",
        js_on_load="sdxsWalk.connect(element, server, sdxs);",
        server_functions=called(exports.begin, exports.progress, exports.stop),
        counts=[
            {"count": count, "seconds": f"{count / film.FPS:g}", "usual": count == usual}
            for count in exports.counts
        ],
        mp4=film.has_mp4(),
        elem_id="sdxs-film",
    )


def rewind(answers: Answers, style: str = "") -> None:
    """The last pictures, to come back to, see rewind.js; and the way back from a file."""
    drawn = any(isinstance(row.widget, Picture) for row in answers.rows)
    own(
        "rewind.html",
        js_on_load="sdxsRewind.connect(element, sdxs, props.kind); sdxsDropped.connect(element);",
        kind=" ".join((answers.about.checkpoint, "canvas" if drawn else "text", style)),
        elem_id="sdxs-rewind",
    )


def canvas(about: About) -> None:
    """What is drawn on, see canvas.js: in the model's shape, and large enough for a fine line."""
    longer = max(about.size)
    scale = min(max(longer, CANVAS_SIDE[0]), CANVAS_SIDE[1]) / longer
    width, height = (round(side * scale) for side in about.size)
    own(
        "canvas.html",
        js_on_load="sdxsCanvas.connect(element, sdxs); sdxsKeys.add(sdxsCanvas.KEYS);",
        width=width,
        height=height,
        tip=about.tip,
        elem_id="sdxs-canvas",
    )


def variety(answers: Answers, seed: Field) -> None:
    """Eight seeds of the prompt on show; a click goes to the seed's field, see variety.js."""

    width, height = answers.about.size
    strip = own(
        "variety.html",
        js_on_load="sdxsVariety.connect(element, server, trigger, sdxs);  // fires 'input'",
        server_functions=called(answers.variety),
        seeds=list(range(SEEDS)),
        width=width,
        height=height,
        elem_id="sdxs-variety",
    )
    strip.input(None, None, seed, js="sdxsVariety.chosen")


def chips(
    look: str, title: str, groups: Mapping[str, Sequence[str]], prompt: Field, js: str
) -> None:
    """Texts to click, in groups with a heading each, if there are any. js: of a text and the
    prompt, the prompt that a click on the text leads to."""
    if not any(groups.values()):
        return
    texts = own(
        "chips.html",
        js_on_load="sdxs.chips(element, props, trigger);  // fires 'input'",
        groups=[
            {"name": _literal(name), "texts": [_literal(text) for text in texts]}
            for name, texts in groups.items()
        ],
        look=look,
        title=title,
        elem_id=f"sdxs-{look}",
    )
    texts.input(None, [texts, prompt], prompt, js=js)


def script(name: str) -> str:
    """A script of ours, for the head of a page."""
    return f"<script>{_read(name)}</script>"


def _literal(text: str) -> str:
    """Gradio reads a filled template as a JavaScript template literal: nothing in it may act."""
    return re.sub(r"[\\`$]", r"\\\g<0>", text)


def _read(name: str) -> str:
    return (FILES / name).read_text(encoding="utf-8")
