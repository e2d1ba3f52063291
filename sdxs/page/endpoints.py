"""What `gradio_client` calls: `/generate` and `/walk`, whose parameters have names and types.

Knows nothing of what is where on a page.
"""

import inspect
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.context import LocalContext
from gradio.processing_utils import hash_bytes

from sdxs import walks
from sdxs.page.answers import Answers
from sdxs.page.exports import FORMATS, Exports
from sdxs.page.opened import forget
from sdxs.service.told import told


def offer(page: Any, answers: Answers, exports: Exports, fields: Mapping[str, Any]) -> None:
    """`/generate`: the bytes that the page would show, as a file; `/walk`: a film of the way that a
    request is on. fields: the page's inputs, by the names of a request."""
    output = gr.Image(label="picture", visible=False)
    film = gr.File(label="film", visible=False)
    names = [row.field for row in answers.rows if row.programs]
    way = [name for name in names if name != "walk"]
    kinds = list(FORMATS)
    of_film: dict[str, Any] = {
        "frames": gr.Number(walks.FRAMES, precision=0, label="frames", visible=False),
        "format": gr.Radio(kinds, value=kinds[0], label="format", visible=False),
        "loop": gr.Checkbox(False, label="and back", visible=False),
    }

    async def generate(*values: Any) -> str:
        """Make the picture of a prompt: a JPEG file, the same for the same request.

        On a page with a canvas, `drawing` is a data URL of a PNG, JPEG or WebP picture.
        """
        forget(page)
        with _told():
            request = dict(zip(names, values, strict=True))
            made = await page.front.visits.of(_session(), answers.make(request))
        if made.warning:
            gr.Warning(made.warning)
        return _kept(made.file, "picture.jpg", output)

    async def walk(*values: Any) -> str:
        """Make a film of the way to another prompt, another seed, or both: a WebP or MP4 file.

        `loop`: and back to where it began. Pictures for the page's visitors go first.
        """
        request = dict(zip(way, values, strict=False))
        asked = dict(zip(of_film, values[len(way) :], strict=True))
        forget(page)
        with _told():
            making = exports.make({**asked, "request": request})
            name, file = await page.front.visits.of(_session(), making)
        return _kept(file, name, film)

    _serve(generate, {name: fields[name] for name in names}, output)
    _serve(walk, {**{name: fields[name] for name in way}, **of_film}, film)


def _kept(data: bytes, name: str, component: Any) -> str:
    """A file of Gradio's cache, whole for everybody who asked for the same at the same moment."""
    folder = Path(component.GRADIO_CACHE, hash_bytes(data))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as unfinished:
        unfinished.write(data)
    return str(Path(unfinished.name).replace(folder / name))


def _session() -> str:
    """The name of the stream by which the program that asks is told."""
    return str(getattr(LocalContext.request.get(), "session_hash", ""))


@contextmanager
def _told() -> Iterator[None]:
    """An error is told to a program in one line."""
    try:
        yield
    except Exception as error:
        raise gr.Error(told(error).note, print_exception=False) from None


def _serve(function: Callable[..., Any], inputs: dict[str, Any], output: Any) -> None:
    """A function for programs, whose parameters have the inputs' names: Gradio reads them."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    named = inspect.Signature([inspect.Parameter(name, kind) for name in inputs])
    function.__signature__ = named  # type: ignore[attr-defined]
    gr.Button(visible=False).click(
        function, list(inputs.values()), output, api_name=function.__name__,
        api_visibility="public",
    )  # fmt: skip
