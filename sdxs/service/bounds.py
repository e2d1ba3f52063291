"""How much one request may ask for. Knows nothing of who asks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sdxs.errors import InputError

LONGEST_PROMPT = 1_000_000  # characters; far more than any window, far less than memory


@dataclass(frozen=True)
class Bounds:
    """prompt: characters. pixels: of a picture, None where the model's own limits do."""

    prompt: int = LONGEST_PROMPT
    pixels: int | None = None

    def check(self, given: Mapping[str, Any]) -> None:
        """given: as `options.checked` gives it. Raises InputError."""
        for name in ("prompt", "to_prompt"):
            if len(given.get(name, "")) > self.prompt:
                named = name.replace("_", " ")
                raise InputError(
                    f"the {named} is longer than {self.prompt:,} characters: shorten it"
                )
        size = given.get("size")
        if size and self.pixels is not None:
            width, height = (size, size) if isinstance(size, int) else size
            if width * height > self.pixels:
                raise InputError(
                    f"size {width}x{height} has more than {self.pixels:,} pixels: ask for less"
                )
