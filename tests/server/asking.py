"""A page, asked over HTTP as no library would ask."""

import http.client
import json
from typing import Any

from sdxs.page.ui import Page

JSON = {"Content-Type": "application/json"}
CALL = "/gradio_api/call/generate"
VALUES = ["a red house", "7", "", "", 0.5]


def ask(
    page: Page, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers, body. A body of another kind than bytes is sent as JSON."""
    sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    connection = http.client.HTTPConnection("127.0.0.1", page.server_port, timeout=60)
    connection.request(method, path, sent, JSON | headers if sent is not None else headers)
    answer = connection.getresponse()
    return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()


def note(page: Page, path: str, body: Any, **headers: str) -> tuple[int, str]:
    status, _, said = ask(page, "POST", path, body, **headers)
    return status, json.loads(said)["detail"]
