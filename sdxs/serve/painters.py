"""A replica that paints: the model, and what waits for it as one batch, as in a page of its own.

Knows nothing of pages, or of who asks.
"""

import argparse
import gc
from typing import Any

from PIL import Image

from sdxs.page.apps import TOGETHER, opened
from sdxs.service import marks
from sdxs.service.about import About
from sdxs.service.painting import Order, Painter, kind
from sdxs.service.turns import Turns


class Painters:
    """The page's model. options: of `start.parser`, settled. Raises as `opened` does."""

    def __init__(self, page: str, options: argparse.Namespace) -> None:
        marker = marks.marker(options)
        own = opened(page, options)
        painter = Painter(own.model, own.about, own.condition, marker)

        def renew() -> None:
            painter.generate, painter.condition = own.another()

        self._begin(Turns(painter, TOGETHER, renew=renew), own.about, own.welcome(), own.style)

    def _begin(
        self,
        turns: Turns[Order, Any],
        about: About,
        welcome: Image.Image | None = None,
        style: str = "",
    ) -> None:
        self._turns, self._facts = turns, (about, welcome, style)
        gc.collect()
        gc.freeze()  # as `sdxs.server.start.serve` does

    def facts(self) -> tuple[About, Image.Image | None, str]:
        """What is said of the model, the page's first picture, its first style."""
        return self._facts

    async def paint(self, order: Order, patient: bool) -> Any:
        """A `Made`, a `Still`, or the exception that becomes of the order; see `Turns.take`."""
        try:
            return await self._turns.take(order, kind(order.given, self._facts[0]), patient=patient)
        except Exception as error:
            return error

    def check_health(self) -> None:
        """Ray ends a replica of which this raises something, and starts another."""
        if self._turns.broken:
            raise RuntimeError("two pictures in a while took too long, or the model is lost")
