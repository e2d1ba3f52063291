"""What stands in front of a page, put together of the options: limits, routes, headers, numbers.

Knows nothing of Gradio, or of what is on the page.
"""

import argparse
import logging
import os
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, Route

from sdxs.server import health, logs
from sdxs.server.calls import Interface
from sdxs.server.draining import Drain, Draining
from sdxs.server.edge import Edge
from sdxs.server.guard import LARGEST_BODY, Guard, Open
from sdxs.server.leaving import Leaving, Visits
from sdxs.server.limits import Limiter, Limits
from sdxs.server.metrics import Metrics
from sdxs.server.sites import Sites
from sdxs.service.bounds import LONGEST_PROMPT, Bounds
from sdxs.service.heard import Hearer

told = logging.getLogger("sdxs.told.pictures")

PUBLIC_PROMPT = 2_000  # characters
PUBLIC_BODY = 11 * 2**20  # bytes; a picture of 8 MB in base64 fits
SPACES = "https://huggingface.co", "https://*.hf.space"
NEAR = "127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,::1,fc00::/7"
ORIGIN = re.compile(r"https?://(?:\*\.)?[\w.-]+(?::\d+)?", re.ASCII)


def add_options(options: argparse.ArgumentParser) -> None:
    """Those of what stands in front of a page."""
    space = os.environ.get("SPACE_ID")
    usual = os.environ.get("FORWARDED_ALLOW_IPS") or (NEAR if space else None)
    add, limits = options.add_argument, Limits()
    add("--proxies", metavar="ADDRESS,…", default=usual,
        help="addresses or networks of proxies that are believed who a visitor is "
        "(X-Forwarded-For); default: this machine with --root-path, the private networks on a "
        "Space, else none")  # fmt: skip
    add("--visitor-requests", type=_count, default=limits.visitor, metavar="N",
        help="of an address in a minute, on a public page (default: %(default)s)")  # fmt: skip
    add("--all-requests", type=_count, default=limits.all, metavar="N",
        help="of all in a minute, on a public page (default: %(default)s)")  # fmt: skip
    add("--most-pixels", type=_count, metavar="N",
        help="of a picture; default on a public page: those of the checkpoint's size")  # fmt: skip
    add("--frames", type=_origins, default=SPACES if space else (), metavar="ORIGIN,…",
        help="sites that may show the page in a frame, https://example.com")  # fmt: skip
    add(
        "--metrics",
        action="store_true",
        help="serve /metrics on a public page, too: let your proxy keep strangers from it",
    )
    add("--log-format", choices=logs.FORMATS, default="text",
        help="json: a line for each request and each picture, too (default: %(default)s)",
    )  # fmt: skip
    add("--log-prompts", action="store_true", help="prompts are part of pictures' lines")


@dataclass
class Front(Hearer):
    """What stands in front of one page. limits: None for none. pixels: None for the page's own on a
    public page, and for any else. sites: that may use a page that is not public."""

    public: bool = False
    limits: Limits | None = None
    pixels: int | None = None
    frames: Sequence[str] = ()
    shows_metrics: bool = True
    log_prompts: bool = False
    sites: Sites = field(default_factory=Sites)
    state: health.State = field(default_factory=health.State)
    waiting: Callable[[], int] = lambda: 0
    drain: Drain = field(default_factory=Drain)
    visits: Visits = field(default_factory=Visits)

    def __post_init__(self) -> None:
        self.metrics = Metrics(lambda: self.waiting())
        self.state.ready = lambda: not self.drain.begun

    @classmethod
    def of(cls, options: argparse.Namespace) -> "Front":
        public, limits = options.public, Limits(options.visitor_requests, options.all_requests)
        return cls(
            public,
            limits if public else None,
            options.most_pixels,
            options.frames,
            options.metrics or not public,
            options.log_prompts,
            Sites.of(options.host, options.root_path),
        )

    def bounds(self, size: tuple[int, int]) -> Bounds:
        """Of a request. size: the page's own, (width, height)."""
        own = size[0] * size[1] if self.public else None
        return Bounds(PUBLIC_PROMPT if self.public else LONGEST_PROMPT, self.pixels or own)

    def app(
        self,
        interface: Interface,
        files: Path,
        routes: Sequence[Route | Mount] = (),
        lifespan: Callable[[Any], AbstractAsyncContextManager[Any]] | None = None,
    ) -> dict[str, Any]:
        """Arguments for the Starlette application. routes: before Gradio's own, with a lifespan of
        theirs."""
        also = [route.path for route in routes]
        largest = PUBLIC_BODY if self.public else LARGEST_BODY
        limits = (
            [Middleware(Limiter, self.limits, also, self.metrics.limited)] if self.limits else []
        )
        inner = [
            Middleware(Draining, drain=self.drain),
            *limits,
            Middleware(Leaving, visits=self.visits),
            Middleware(Guard, Open(interface, files, also, largest)),
        ]
        own = health.routes(self.state) + ([self.metrics.route()] if self.shows_metrics else [])

        @asynccontextmanager
        async def edged(app: Starlette) -> AsyncIterator[None]:
            """Gradio puts its own middleware around that of others."""
            inside = app.middleware_stack or app.build_middleware_stack()
            if not isinstance(inside, Edge):  # of a start before, for another port
                sites = None if self.public else self.sites
                inside = Edge(inside, self.frames, also, self.metrics.answered, sites)
            app.middleware_stack = inside
            async with lifespan(app) if lifespan else nullcontext():
                yield

        return {"middleware": inner, "routes": [*own, *routes], "lifespan": edged}

    def turn(self, size: int) -> None:
        self.metrics.turn(size)

    def made(self, given: Mapping[str, Any], stages: Mapping[str, float]) -> None:
        self.metrics.made(stages)
        fields: dict[str, Any] = {name: round(ms, 1) for name, ms in stages.items()}
        fields |= {name: given[name] for name in ("seed", "style", "condition") if name in given}
        if self.log_prompts:
            fields["prompt"] = given["prompt"]
        told.info("picture", extra={"fields": {**fields, "visitor": logs.visitor.get()}})

    def failed(self, error: Exception) -> None:
        self.metrics.failed(error)


def believe(proxies: str | None, root_path: str) -> None:
    """Whom uvicorn believes who a visitor is."""
    default = "127.0.0.1,::1" if root_path else ""
    os.environ["FORWARDED_ALLOW_IPS"] = default if proxies is None else proxies


def _count(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text[:12]) > 0:
        return int(text[:12])
    raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
    for origin in origins:
        if not ORIGIN.fullmatch(origin):
            raise argparse.ArgumentTypeError(f"{origin!r} is no site: https://example.com")
    return origins
