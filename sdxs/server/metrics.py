"""Numbers for Prometheus: requests, pictures and their seconds, who waits, who is there.

Knows nothing of Gradio, or of what is on a picture.
"""

import threading
import time
from collections.abc import Callable, Mapping

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

NOW = 60  # seconds in which a visitor who asked for something is there
MOST_SEEN = 10_000
SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)


class Metrics:
    """What is counted while a program runs, each program's its own. waiting: how many pictures are
    waited for just now."""

    def __init__(self, waiting: Callable[[], int] = lambda: 0) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # memory and the like, where the system tells
        self._seen: dict[str, float] = {}
        self._lock = threading.Lock()
        self._requests = Counter(
            "sdxs_requests", "Requests answered", ["kind", "status"], registry=registry
        )
        self._pictures = Counter("sdxs_pictures", "Pictures made", registry=registry)
        self._failures = Counter(
            "sdxs_failures", "Pictures that were not made", ["why"], registry=registry
        )
        self._limited = Counter(
            "sdxs_limited", "Requests above a limit", ["limit"], registry=registry
        )
        self._stages = Histogram(
            "sdxs_stage_seconds", "Seconds of a picture's stages", ["stage"],
            registry=registry, buckets=SECONDS,
        )  # fmt: skip
        self._turns = Histogram(
            "sdxs_turn_pictures", "Requests of a turn", registry=registry, buckets=(1, 2, 4, 8, 16)
        )
        there = Gauge("sdxs_visitors", "Addresses of the last minute", registry=registry)
        there.set_function(self._visitors)
        waited = Gauge("sdxs_waiting", "Pictures that are waited for", registry=registry)
        waited.set_function(waiting)

    def answered(self, kind: str, status: int, who: str) -> None:
        self._requests.labels(kind, status).inc()
        if kind not in ("health", "asset"):
            with self._lock:
                self._seen[who] = time.monotonic()
                if len(self._seen) > MOST_SEEN:
                    del self._seen[next(iter(self._seen))]

    def made(self, stages: Mapping[str, float]) -> None:
        """stages: milliseconds."""
        self._pictures.inc()
        for stage, ms in stages.items():
            self._stages.labels(stage).observe(ms / 1000)

    def failed(self, error: Exception) -> None:
        self._failures.labels(type(error).__name__).inc()

    def turn(self, size: int) -> None:
        self._turns.observe(size)

    def limited(self, limit: str) -> None:
        self._limited.labels(limit).inc()

    def route(self) -> Route:
        async def metrics(request: Request) -> Response:
            return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)

        return Route("/metrics", metrics)

    def _visitors(self) -> float:
        begin = time.monotonic() - NOW
        with self._lock:
            self._seen = {who: last for who, last in self._seen.items() if last > begin}
            return len(self._seen)
