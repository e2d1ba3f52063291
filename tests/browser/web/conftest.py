"""The static site, built once, on hosts of its own."""

import functools
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from sdxs.picture import encode
from sdxs.service.about import About
from tests.browser.conftest import PATIENCE_MS, Visits
from tests.programs import ROOT, lacking, listening
from web import build, packages

STYLE, CONTROL = "anime", "sketch"
PROMPT = "a red house at sunset"


def modules() -> None:
    """The packages of npm; without them a test is a failure on CI, elsewhere a skip."""
    try:
        packages.ready()
    except packages.MissingError as error:
        lacking(str(error))


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The embedded model with a style and a control, as the site has it; written once for all
    processes."""
    place = tmp_path_factory.getbasetemp()
    place = (place if worker_id == "master" else place.parent) / "web-model"
    with FileLock(f"{place}.lock"):
        if not place.exists():
            what = ["--to", "onnx", "--styles", STYLE, "--controls", CONTROL, "--out", place]
            command = [sys.executable, "-m", "sdxs.export", "storybook", *what]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
    return place


@pytest.fixture(scope="session")
def site(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `make web` builds."""
    modules()
    out = tmp_path_factory.mktemp("site") / "dist"
    build.build(out, exported, None, ["wasm"])
    return out


ABOUT = About(
    title="A stand-in",
    checkpoint="standin",
    facts=("float32",),
    examples=(PROMPT, "a blue ball"),
    words={"things": ("ball", "house"), "colours": ("red", "blue")},
    styles=("anime", "ink"),
    conditions=("sketch", "canny"),
    templates={"at sea": "{prompt} on the sea"},
    size=(64, 64),
)


@pytest.fixture(scope="session")
def light(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site with a stand-in for the engine, see standin.js, and a model of nothing."""
    modules()
    model, out = tmp_path_factory.mktemp("model"), tmp_path_factory.mktemp("light") / "dist"
    graphs = [
        {"file": "weights/unet.safetensors", "control": "", "weights": []},
        {"file": "paint+canny.onnx", "control": "canny", "weights": []},
    ]
    files = {row["file"]: {"bytes": 3_000_000} for row in graphs}
    info = {"about": asdict(ABOUT), "size": ABOUT.size, "controls": ["sketch", "canny"],
            "graphs": graphs, "tokenizers": [], "files": files}  # fmt: skip
    (model / "sdxs.json").write_text(json.dumps(info))
    (model / "weights").mkdir()
    (model / "weights" / "unet.safetensors").write_bytes(bytes(3_000_000))
    build.build(out, model, encode(Image.new("RGB", ABOUT.size, "teal")), ["wasm"])
    shutil.copy(Path(__file__).with_name("standin.js"), out / "engine" / "worker.js")
    build.list_files(out)
    return out


@dataclass
class Host:
    """A folder that is served. asked: the paths so far. instead: bytes in a file's place, None for
    none. held: what a path waits for. closed: nothing is answered any more."""

    folder: Path
    url: str = ""
    closed: bool = False
    held: dict[str, threading.Event] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    instead: dict[str, bytes | None] = field(default_factory=dict)


@contextmanager
def hosting(folder: Path) -> Iterator[Host]:
    """What `python -m http.server` does."""
    host = Host(folder)

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            path = self.path.partition("?")[0].lstrip("/")
            host.asked.append(path)
            if path in host.held:
                host.held[path].wait(60)
            if host.closed:
                self.close_connection = True
                return
            content = host.instead.get(path, b"")
            if content is None:
                self.send_error(404)
            elif path in host.instead:
                self.send_response(200)
                self.send_header("Content-Type", self.guess_type(path))
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            else:
                super().do_GET()

    with listening(functools.partial(Handler, directory=folder)) as address:
        host.url = f"{address}/"
        yield host


@pytest.fixture
def host(light: Path) -> Iterator[Host]:
    """The light site, on a host of its own."""
    with hosting(light) as host:
        yield host


@dataclass
class Tabs(Visits):
    """Visits of the site. Its own policy forbids what evaluates texts, `wait_for_function` too."""

    def __call__(self, url: str, *, script: str = "", context: Any = None, **options: Any) -> Page:
        if context is None:
            size = {"width": options.pop("width", 1280), "height": options.pop("height", 900)}
            context = self.browser.new_context(viewport=size, accept_downloads=True, **options)
            context.set_default_timeout(PATIENCE_MS)
            context.on("request", self._request)
            self.contexts.append(context)
        page = context.new_page()
        if script:
            page.add_init_script(script)
        said = self.complaints.append
        page.on("console", lambda m: m.type in ("error", "warning") and said(m.text))
        page.on("pageerror", lambda error: said(str(error)))
        page.goto(url)
        return page


@pytest.fixture
def tabs(browser: Browser) -> Iterator[Tabs]:
    """A function that opens a page of the site. It may complain of nothing, and ask nobody else."""
    tabs = Tabs(browser)
    yield tabs
    for context in tabs.contexts:
        context.close()
    assert tabs.outside == []
    assert [said for said in tabs.complaints if not any(one in said for one in tabs.expected)] == []


def prompt(page: Page) -> Locator:
    return page.get_by_label("Prompt", exact=True)


def ready(page: Page) -> Page:
    """Wait for the model."""
    expect(page.locator(".sdxs-facts")).to_contain_text("WebAssembly")
    expect(page.locator("#sdxs-loading")).to_be_hidden()
    return page


def painted(page: Page, said: str) -> str:
    """The picture of a prompt, a data URL, once it is on the page."""
    picture = page.locator("#sdxs-picture")
    expect(picture).to_have_attribute("alt", f"{said} (seed 0)")
    expect(page.locator("[data-busy]")).to_have_count(0)
    return picture.get_attribute("src") or ""


def asked(page: Page, call: str, request: dict[str, Any]) -> dict[str, Any]:
    """What answers the page's scripts says to one of them."""
    answer: dict[str, Any] = page.evaluate(
        "([call, request]) => sdxs.server[call](request)", [call, request]
    )
    return answer
