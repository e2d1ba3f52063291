"""Who is told of pictures as they are made, for numbers and logs.

Knows nothing of what becomes of that.
"""

from collections.abc import Mapping
from typing import Any


class Hearer:
    """Hears of pictures, in any thread; this one forgets them."""

    def turn(self, size: int) -> None:
        """So many requests are worked on together."""

    def made(self, given: Mapping[str, Any], stages: Mapping[str, float]) -> None:
        """A picture: what was asked for, checked, and the milliseconds of its stages."""

    def failed(self, error: Exception) -> None:
        """There will be no picture."""
