"""A replica that paints: the model, and what is asked for at the same moment as one batch.

Knows nothing of pages, or of who asks.
"""

import argparse
import asyncio
import logging
import os
from collections.abc import Hashable
from functools import partial
from typing import Any

from PIL import Image
from ray import serve

from sdxs.page.apps import APPS, TOGETHER, opened
from sdxs.service import marks
from sdxs.service.about import About
from sdxs.service.painting import Order, Painter, kind
from sdxs.service.turns import FIRST_PATIENCE, PATIENCE, STUCK, Stuck
from sdxs.service.worker import Worker

log = logging.getLogger(__name__)

LAST_WORDS = 1.0  # seconds in which those are told whose picture was given up


class Painters:
    """The page's model. options: of `start.parser`, settled. Raises as `opened` does."""

    def __init__(self, page: str, options: argparse.Namespace) -> None:
        marker = marks.marker(options)
        own = opened(page, options)
        condition = own.model.condition if APPS[page].controls else None
        self._begin(Painter(own.model, own.about, condition, marker), own.style, own.welcome())

    def _begin(self, painter: Painter, style: str = "", welcome: Image.Image | None = None) -> None:
        self._painter, self._facts = painter, (painter.about, welcome, style)
        self._worker = Worker()
        self._known: set[Hashable] = set()

    def facts(self) -> tuple[About, Image.Image | None, str]:
        """What is said of the model, the page's first picture, its first style."""
        return self._facts

    async def paint(self, order: Order) -> Any:
        """A `Made`, a `Still`, or the exception that becomes of the order."""
        return await self._together(order)

    @serve.batch(max_batch_size=TOGETHER, batch_wait_timeout_s=0)
    async def _together(self, orders: list[Order]) -> list[Any]:
        return await self.painted(orders)

    async def painted(self, orders: list[Order]) -> list[Any]:
        """The outcome of each. One batch after another, since one thread paints. Where one takes
        too long the replica ends, and Ray starts another."""
        kinds = {kind(order.given, self._painter.about) for order in orders}
        patience = PATIENCE if kinds <= self._known else FIRST_PATIENCE
        painting = self._worker.do(partial(self._painter, orders))
        try:
            outcomes: list[Any] = await asyncio.wait_for(asyncio.wrap_future(painting), patience)
        except TimeoutError:
            log.error("a batch took more than %g s: this replica ends", patience)
            asyncio.get_running_loop().call_later(LAST_WORDS, os._exit, 1)
            return [Stuck(STUCK.format(patience))] * len(orders)
        except Exception as error:
            return [error] * len(orders)
        self._known |= kinds
        return outcomes
