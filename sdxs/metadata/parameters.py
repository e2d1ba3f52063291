"""How a picture was made, as the text that stable-diffusion-webui writes and everybody reads.

The prompt, on as many lines as it has, perhaps a negative prompt, and a last line of settings,
`Steps: 1, Seed: 7, Model: storybook`. Knows nothing of pictures, and nothing of what a setting
means.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sdxs.arguments import encodable
from sdxs.config import VERSION

SOFTWARE = f"sdxs {VERSION}"
LONGEST = 8_000  # characters of a value; far more than any window, and two fit in a JPEG
MOST_SETTINGS = 200
NEGATIVE = "Negative prompt:"
SPECIAL = frozenset(',:"\n\r')


@dataclass(frozen=True)
class Parameters:
    """What such a text says. settings: as they are written, by their names."""

    prompt: str
    settings: dict[str, str] = field(default_factory=dict)
    negative: str = ""

    @property
    def ours(self) -> bool:
        """Whether this package wrote it, so that names mean what they mean here."""
        return self.settings.get("Version", "").startswith("sdxs ")


def title(name: str) -> str:
    """A name as it is written: "style_scale" is "Style scale"."""
    return name.replace("_", " ").replace("-", " ").capitalize()


def written(prompt: str, settings: Mapping[str, Any]) -> str:
    """The text of a prompt and its settings, and that we wrote it."""
    said = {**settings, "Version": SOFTWARE}
    line = ", ".join(f"{name}: {_quoted(value)}" for name, value in said.items())
    return f"{_plain(prompt)}\n{line}"


def parsed(text: str) -> Parameters | None:
    """What a text says, of ours or of another program; None where it has no settings."""
    before, _, last = text.rpartition("\n")
    ours = Parameters(before, dict(_settings(last)))
    if ours.ours:  # its prompt is exactly what stands before, whatever that looks like
        return ours
    lines = text.strip().splitlines()
    for place in range(len(lines) - 1, -1, -1):  # programs add lines below
        settings = dict(_settings(lines[place]))
        if len(settings) >= 3 and "Steps" in settings:
            prompt, _, negative = "\n".join(lines[:place]).partition(NEGATIVE)
            return Parameters(prompt.strip(), settings, negative.strip())
    return None


def _quoted(value: Any) -> str:
    text = f"{value:.12g}" if isinstance(value, float) else _plain(str(value))
    if not text or text != text.strip() or SPECIAL & set(text):
        return json.dumps(text, ensure_ascii=False)
    return text


def _plain(text: str) -> str:
    """A text as files can hold it: a NUL would end it."""
    return encodable(text[:LONGEST].replace("\0", ""))


def _settings(line: str) -> Iterator[tuple[str, str]]:
    """The settings of a line, in one walk along it, whatever is written there."""
    place = 0
    for _ in range(MOST_SETTINGS):
        colon = line.find(":", place)
        if colon < 0:
            return
        name = line[place:colon].rpartition(",")[2].strip()
        place = colon + 1
        while line[place : place + 1] == " ":
            place += 1
        value, place = _value(line, place)
        comma = line.find(",", place)
        place = len(line) if comma < 0 else comma + 1
        if name:
            yield name, value


def _value(line: str, place: int) -> tuple[str, int]:
    """The value that begins at a place, and where it ends: JSON, or all up to a comma."""
    if line[place : place + 1] in ('"', "{", "["):
        try:
            value, end = json.JSONDecoder().raw_decode(line, place)
            return (value if isinstance(value, str) else line[place:end]), end
        except (ValueError, RecursionError):
            pass
    comma = line.find(",", place)
    end = len(line) if comma < 0 else comma
    return line[place:end].strip(), end
