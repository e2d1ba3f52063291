"""From what a picture's file says to the request that asks for it again, as far as it goes here.

Ours comes back as it was. Of other programs' files prompt, seed and size are taken, and a LoRA that
is there by that name; what is left out is said, and why. Knows nothing of files or pages.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from sdxs.arguments import scale, typed
from sdxs.errors import InputError, one_line
from sdxs.metadata.marker import named
from sdxs.metadata.reading import Found
from sdxs.service.about import About
from sdxs.service.drawings import data_url
from sdxs.service.kinds import Choice, Option, Slider, Switch
from sdxs.service.options import OPTIONS

OF_STEPS = (
    "Steps", "Sampler", "Schedule type", "CFG scale", "Distilled CFG Scale", "Denoising strength",
    "Hires upscale", "Hires steps", "Hires upscaler",
)  # fmt: skip
OF_FILES = re.compile(r"Version|Frames|Fps|Loop|.*hash(es)?|Civitai .*|Created Date", re.IGNORECASE)
EVERYWHERE = ("seed", "size")  # fields that mean the same in other programs
SAID_TWICE = ("control", "template")  # by the condition, and in the prompt
LORA = re.compile(r"<(?:lora|lyco):([^:<>]{1,200})(?::([^:<>]{1,20}))?[^<>]{0,100}>")
MOST_NAMED = 6  # settings


def restored(found: Found, rows: Iterable[Option], about: About) -> tuple[dict[str, Any], str]:
    """The request, {field: value} as widgets hold it, of a page with these rows; and what is left
    out and why, "" where nothing is."""
    again = _Restoring(found, rows, about)
    again.settings_by_rows()
    again.drawing()
    again.request["prompt"] = again.own_prompt() if again.said.ours else again.foreign_prompt()
    return again.request, "; ".join((*again.elsewhere(), *again.left_out()))


class _Restoring:
    """A request in the making. settings: what of the file's is not taken yet. odd: what cannot be
    taken, as people are told of it."""

    def __init__(self, found: Found, rows: Iterable[Option], about: About) -> None:
        self.found, self.said, self.about = found, found.parameters, about
        self.rows = {row.field: row for row in rows}
        self.settings = dict(self.said.settings)
        self.request: dict[str, Any] = {}
        self.odd: list[str] = []

    def settings_by_rows(self) -> None:
        """Of the table of options, what has a place here."""
        for row in OPTIONS:
            mine = self.said.ours or row.field in EVERYWHERE
            if row.title not in self.settings or not mine or row.field == "prompt":
                continue
            if row.field == "size" and "size" not in self.rows:
                continue  # see `elsewhere`
            text = self.settings.pop(row.title)
            if row.lacks({*self.request, *(name for name in self.rows if name == "drawing")}):
                continue  # a drawing may come yet
            try:
                if row.field not in self.rows:
                    raise InputError(f"there is no {row.field} here")
                self.request[row.field] = _held(row, self.about, text)
            except InputError:
                if row.field not in SAID_TWICE:
                    self.odd.append(f"{row.title} {one_line(text, 40)}")

    def drawing(self) -> None:
        if self.found.drawing and "drawing" in self.rows:
            self.request["drawing"] = data_url(self.found.drawing, "png")

    def own_prompt(self) -> str:
        """The prompt as it was typed: without its template, where that is still what it was."""
        painted = self.said.prompt
        pattern = self.about.templates.get(self.request.get("template", ""), "")
        before, *others = pattern.split("{prompt}")
        if others:
            fixed = len(before) + sum(map(len, others))
            end = len(before) + max(0, (len(painted) - fixed) // len(others))
            prompt = painted[len(before) : end]
            if prompt and pattern.replace("{prompt}", prompt) == painted:
                return prompt
        self.request.pop("template", None)
        return painted

    def foreign_prompt(self) -> str:
        """The prompt without the LoRAs in it, of which the first that is there is the style."""
        prompt = self.said.prompt
        tags = LORA.findall(prompt)
        names = self.rows["style"].names(self.about) if "style" in self.rows else {}
        for name, strength in tags:
            if name not in names or "style" in self.request:
                self.odd.append(f"LoRA {one_line(name, 40)}")
                continue
            self.request["style"] = name
            try:
                self.request["style_scale"] = scale("style scale", typed(strength or "1"))
            except InputError:
                self.odd.append(f"LoRA strength {strength}")
        if tags:
            parts = LORA.sub("", prompt).split(",")
            prompt = ", ".join(part.strip() for part in parts if part.strip())
        return prompt

    def elsewhere(self) -> Iterator[str]:
        """What was otherwise where the picture was made."""
        model, here = self.settings.pop("Model", ""), named(self.about.checkpoint)
        if model and model not in (here, self.about.checkpoint):
            yield f"made with {one_line(model, 60)}" + (f", here {here}" if here else "")
        size, here = self.settings.pop("Size", ""), "{}x{}".format(*self.about.size)
        if size and size != here:
            yield f"size {one_line(size, 20)} left out: pictures here have {here}"
        if self.said.ours and "Control" in self.said.settings and "drawing" not in self.request:
            if "drawing" in self.rows:
                yield "what it followed is not in the file"
            else:
                yield "it followed a drawing, which has no place here"

        if frames := self.settings.get("Frames"):
            yield f"of a film of {one_line(frames, 10)} frames, this is one picture"

    def left_out(self) -> Iterator[str]:
        """What is not taken, and why."""
        of_steps = ["Negative prompt"] if self.said.negative else []
        for name in OF_STEPS:
            if value := self.settings.pop(name, ""):
                of_steps.append(f"{name} {one_line(value, 30)}")
        if of_steps and not self.said.ours:
            yield f"{', '.join(of_steps)} left out: one step has none"
        others = self.odd + [
            one_line(name, 40) for name in self.settings if not OF_FILES.fullmatch(name)
        ]
        if others:
            more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
            yield f"{', '.join(others[:MOST_NAMED])}{more} left out: not known here"


def _held(row: Option, about: About, text: str) -> Any:
    """A setting as its widget holds it. Raises InputError for what does not go here."""
    if isinstance(row.widget, Switch):
        return text == "True"
    value = row.checked(about, text)
    return value if isinstance(row.widget, Slider | Choice) else text
