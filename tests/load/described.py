"""Requests that schemathesis makes of an OpenAPI description: those that fit it, and those that do
not."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis.errors import Unsatisfiable
from schemathesis.generation import GenerationMode

from tests.load.published import Sent


def descriptions(address: str, places: Sequence[str]) -> dict[str, Any]:
    """Those that there are."""
    answers = {place: requests.get(address + place, timeout=10) for place in places}
    return {place: answer.json() for place, answer in answers.items() if answer.ok}


def described(
    address: str, raw: dict[str, Any], count: int, seed: int, send: Callable[[Sent], None]
) -> Iterator[str]:
    """Sends about `count` requests of a description, the operations of which are yielded."""
    base = address + (raw.get("servers") or [{"url": ""}])[0]["url"].rstrip("/")
    found = [one.ok() for one in schemathesis.openapi.from_dict(raw).get_all_operations()]
    for operation in found:
        yield f"{operation.method.upper()} {operation.path}"
        for mode in GenerationMode.POSITIVE, GenerationMode.NEGATIVE:
            each = max(1, count // (2 * len(found)))

            @seeded(seed)
            @settings(
                max_examples=each, database=None, deadline=None, phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            @given(case=operation.as_strategy(mode))
            def ask(case: Any) -> None:
                send(_wired(case, base))

            try:
                ask()
            except Unsatisfiable:
                continue  # anything fits it, or nothing does


def _wired(case: Any, base: str) -> Sent:
    told = case.as_transport_kwargs(base_url=base)
    names = ("method", "url", "headers", "params", "json", "data", "cookies", "files")
    made = requests.Request(**{name: told[name] for name in names if name in told}).prepare()
    body = made.body.encode() if isinstance(made.body, str) else made.body or b""
    head = {"Host": "127.0.0.1", **made.headers, "Content-Length": str(len(body))}
    lines = [f"{made.method} {made.path_url} HTTP/1.1".encode("latin-1", "replace")]
    for name, value in head.items():
        text = value if isinstance(value, str) else value.decode("latin-1")
        lines.append(
            f"{name}: {text}".replace("\r", "").replace("\n", "").encode("latin-1", "replace")
        )
    return Sent("described", b"\r\n".join(lines) + b"\r\n\r\n" + body, alone=False)
