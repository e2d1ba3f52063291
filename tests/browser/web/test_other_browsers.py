"""The static site in browsers as they are, without a driver: the page types by itself, and sends
its picture to the host."""

import io
import json
import os
import queue
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sdxs import SDXS
from sdxs.service.drawings import bytes_of
from tests.browser.web.conftest import PROMPT
from tests.browser.web.test_site_paints import LEAST, distance
from tests.programs import lacking, listening

pytestmark = [pytest.mark.browser, pytest.mark.embedded, pytest.mark.long]

VISITS = 3
PATIENCE_S = 60
TYPES = """
async function found(look) {
  while (!look()) await new Promise((again) => setTimeout(again, 50));
  return look();
}
(async () => {
  await found(() => document.querySelector(".sdxs-facts")?.textContent.includes("WebAssembly"));
  const area = document.querySelector("#sdxs-prompt textarea");
  area.value = PROMPT;
  area.dispatchEvent(new Event("input", { bubbles: true }));
  const picture = document.getElementById("sdxs-picture");
  await found(() => picture.alt === `${PROMPT} (seed 0)`);
  const { file } = await window.sdxs.server.download({ prompt: PROMPT, seed: "0" });
  await fetch("told", { method: "POST", body: file });
})();
"""
# Garbage, collected all the time: Firefox took threads with it that ONNX Runtime was starting.
LITTER = "setInterval(() => Array.from({ length: 3e5 }, () => ({})), 5);"
ALONE = {  # Firefox's own services are told of nothing
    "network.proxy.type": 1, "network.proxy.http": "127.0.0.1", "network.proxy.http_port": 9,
    "network.proxy.ssl": "127.0.0.1", "network.proxy.ssl_port": 9,
}  # fmt: skip


def firefox(profile: Path) -> list[str | Path]:
    profile.mkdir()
    lines = [
        f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in ALONE.items()
    ]
    (profile / "user.js").write_text("\n".join(lines))
    name = shutil.which("firefox-esr") or shutil.which("firefox") or ""
    return [name, "--headless", "--no-remote", "--profile", profile] if name else []


def webkit(profile: Path) -> list[str | Path]:
    """WebKitGTK's, which is Safari's engine."""
    browser = next(Path("/usr/lib").glob("*/webkit2gtk-4.1/MiniBrowser"), None)
    screen = shutil.which("xvfb-run")
    return [screen, "-a", browser, "--private"] if browser and screen else []


BROWSERS = {firefox: "firefox-esr", webkit: "webkit2gtk-driver xvfb"}  # and Debian's packages


@pytest.mark.parametrize("browser", BROWSERS, ids=lambda browser: browser.__name__)
def test_first_visits_end_in_the_picture(
    browser: Callable[[Path], list[Any]], site: Path, tmp_path: Path
) -> None:
    told: queue.Queue[str] = queue.Queue()
    added = {"site/app.js": f"const PROMPT = {PROMPT!r};{TYPES}", "engine/worker.js": LITTER}

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            path = self.path.lstrip("/")
            if path not in added:
                return super().do_GET()
            self.send_response(200)
            self.send_header("Content-Type", "text/javascript")
            self.end_headers()
            self.wfile.write((site / path).read_bytes() + b"\n" + added[path].encode())

        def do_POST(self) -> None:
            told.put(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(204)
            self.end_headers()

    model = SDXS.load("storybook", dtype="float32", engine="eager")
    with listening(partial(Handler, directory=site)) as address:
        for visit in range(VISITS):
            command = browser(tmp_path / str(visit))
            if not command:
                lacking(f"it is not here: apt-get install {BROWSERS[browser]}")
            program = subprocess.Popen(
                [*command, f"{address}/index.html"],
                env=os.environ | {"HOME": str(tmp_path)}, start_new_session=True,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                picture = told.get(timeout=PATIENCE_S)
            finally:
                os.killpg(program.pid, 9)
                program.wait()
            theirs = Image.open(io.BytesIO(bytes_of(picture, "it")))
            assert distance(theirs, model(PROMPT, seed=0)) >= LEAST, f"visit {visit}"
