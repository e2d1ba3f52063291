"""What pages and programs ask: a request is checked, waits for its turn, and becomes a file.

Knows nothing of Gradio, torch, browsers, of where pictures are painted, or of what visitors are
told.
"""

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from typing import Any, Protocol, Self

from sdxs.metadata.marker import Marker
from sdxs.service import options
from sdxs.service.about import About
from sdxs.service.bounds import Bounds
from sdxs.service.heard import Hearer
from sdxs.service.labels import LIVE, Labels
from sdxs.service.painting import Condition, Generate, Made, Order, Painter, Still, kind
from sdxs.service.turns import Turns

Rebuilt = Callable[[], tuple[Generate, Condition | None]]


class Queue(Protocol):
    """Who waits for a picture. `Turns` says what its functions do and raise."""

    broken: bool

    async def take(
        self,
        item: Order,
        kind: Hashable = None,
        name: Hashable = None,
        patient: bool = False,
        size: int = 0,
    ) -> Any: ...

    def drop(self, *names: Hashable) -> None: ...

    def before(self, *names: Hashable) -> int | None: ...

    def waiting(self) -> int: ...

    def end(self) -> None: ...


class Maker:
    """Makes what requests ask for.

    turns: where an `Order` becomes a `Made` or a `Still`. canvas: a request may bring a drawing to
    follow, in the way that its condition says, the first of `about.conditions` where it says none.
    `labels` says what files say. `rows` are the options that a request may carry, `bounds` how much
    of it; `hearer` is told of every picture.
    """

    bounds = Bounds()
    hearer = Hearer()

    def __init__(
        self, turns: Queue, about: About, marker: Marker | None = None, canvas: bool = False
    ) -> None:
        self.about, self.labels = about, Labels(about, marker)
        self.rows = options.shown(about, "canvas" if canvas else "text")
        self._turns = turns

    @classmethod
    def local(
        cls,
        generate: Generate,
        about: About | None = None,
        condition: Condition | None = None,
        together: int = 1,
        marker: Marker | None = None,
        rebuilt: Rebuilt | None = None,
    ) -> Self:
        """One whose pictures are painted in this process, see `Painter`, a turn after the other, up
        to `together` at once. With `condition` there is a canvas. `rebuilt` gives another
        `generate` and `condition`, for when a picture takes so long that it is given up, and may
        hold those that were."""
        painter = Painter(generate, about or About(), condition, marker)

        def work(orders: list[Order]) -> list[Made | Still | Exception]:
            own.hearer.turn(len(orders))
            return painter(orders)

        def renew() -> None:
            if rebuilt:
                painter.generate, painter.condition = rebuilt()

        turns = Turns(work, together, renew=renew)
        own = cls(turns, painter.about, marker, canvas=bool(condition))
        return own

    @property
    def broken(self) -> bool:
        """Whether this program had better be started anew, see `Turns`."""
        return self._turns.broken

    def end(self) -> None:
        """No picture is made any more, and whoever waits for one is told. For any thread."""
        self._turns.end()

    def waiting(self) -> int:
        """Requests that wait or are being worked on."""
        return self._turns.waiting()

    async def make(
        self,
        request: Mapping[str, Any],
        format: str = LIVE,
        name: Hashable = None,
        patient: bool = False,
    ) -> Made:
        """Make one picture file. name: of the visitor and the use, see `Turns.take`; None for a
        program. Raises InputError for what makes no sense, what `Turns.take` raises, and whatever
        painting raises."""
        return await self._turn(self.checked(request), format, name, patient)

    async def still(self, given: dict[str, Any]) -> Still:
        """One frame of a film, when nobody waits for a picture. given: what `checked` gives, or
        that of the frame before. Raises as `make` does."""
        order, of_kind = Order(given, ""), kind(given, self.about)
        still: Still = await self._turns.take(order, of_kind, patient=True, size=_size(given))
        return still

    def checked(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """What counts of a request, with its decoder. Where a page leaves that open, the picture of
        a hand that rests is `final`, and has the large one. It decodes the same latent as the draft
        before: the noise of a seed is the same every time, and so is what the U-Net makes of it, so
        that the server need not keep anything of a visitor. Raises InputError."""
        if request.get("decoder") == "" and len(self.about.decoders) > 1:
            request = {**request, "decoder": "large" if request.get("final") is True else "tiny"}
        given = options.checked(self.rows, self.about, request)
        self.bounds.check(given)
        return given

    async def _turn(
        self, given: dict[str, Any], format: str, name: Hashable, patient: bool
    ) -> Made:
        order, of_kind, asked = Order(given, format), kind(given, self.about), time.perf_counter()
        try:
            made: Made = await self._turns.take(order, of_kind, name, patient, _size(given))
        except Exception as error:
            self.hearer.failed(error)
            raise
        # the rest: others' turns, and in a turn of several the others' files
        waiting = 1000 * (time.perf_counter() - asked) - sum(made.stages.values())
        made = replace(made, stages={"waiting": max(0.0, waiting), **made.stages})
        self.hearer.made(given, made.stages)
        return made


def _size(given: Mapping[str, Any]) -> int:
    """Of what waits, about, in bytes: drawings are long texts."""
    return sum(len(value) for value in given.values() if isinstance(value, str))
