"""The apps as programs: the options, and one clear line for whatever cannot work."""

import os
import re
import socket
import sys
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest
from loras import lora_of_unet
from programs import Done, free_port, run, running

from sdxs.page import __main__ as pages
from sdxs.page.ui import text_page
from sdxs.server import start
from sdxs.server.front import Front
from sdxs.server.start import check_address, parser
from tests.browser.standin import Standin

SKETCH, ANIME = "app_sketch.py", "app_anime.py"


def app(*arguments: object, program: str = "app.py", **environment: str) -> Done:
    return run(sys.executable, *program.split(), *arguments, env=os.environ | environment)


def complains(result: Done, *words: str) -> None:
    assert result.returncode == 2 and "Traceback" not in result.stderr, result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert all(word in last for word in words), last


def test_a_port_in_use():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = listener.getsockname()[1]
        complains(app("--port", taken), f"port {taken} is in use", "--port")


@pytest.mark.parametrize("port", ["0", "65536", "abc", "-1", "7860.5"])
def test_a_bad_port(port, ran):
    assert ran(pages.main, f"--port={port}")[0] == 2


@pytest.mark.parametrize("host", ["203.0.113.9", "a..b", "x" * 70 + ".example"])
def test_a_bad_host(host):
    complains(app("--host", host, "--port", free_port()), host, "--host")


def test_a_root_path(monkeypatch):
    monkeypatch.delenv("GRADIO_ROOT_PATH", raising=False)
    assert parser().parse_args([]).root_path == ""
    for given, path in (("/sdxs/", "/sdxs"), ("/", ""), ("https://a.b/c/", "https://a.b/c")):
        assert parser().parse_args(["--root-path", given]).root_path == path
    monkeypatch.setenv("GRADIO_ROOT_PATH", "/other")
    assert parser().parse_args([]).root_path == "/other"


def test_a_bad_root_path(ran):
    status, _, said = ran(pages.main, "--root-path=sdxs")
    assert status == 2 and "'sdxs' is no path: begin with /" in said


def test_a_page_that_there_is_not(ran):
    status, _, said = ran(pages.main, "poster")
    assert status == 2 and "'text', 'anime', 'sketch'" in said


@pytest.mark.parametrize("why", ["no permission", "no folder"])
def test_no_place_for_temporary_files(why, tmp_path):
    if why == "no permission":
        if os.name == "nt" or os.geteuid() == 0:
            pytest.skip("root may write everywhere")
        tmp_path.chmod(0o500)
    else:
        (tmp_path / "file").write_text("not a folder")
    result = app("--port", free_port(), GRADIO_TEMP_DIR=str(tmp_path / "file" / "below"))
    complains(result, str(tmp_path), "GRADIO_TEMP_DIR")


@pytest.mark.parametrize("program", ["app.py", "-m sdxs.page"])
def test_help_is_for_people(program):
    result = app("--help", program=program)
    named = program.replace("-m", "python -m")
    assert result.returncode == 0 and result.stdout.startswith(f"usage: {named} [-h]")
    for option in ("--checkpoint", "--port", "--host"):
        assert option in result.stdout
    assert ("{text,anime,sketch}" in result.stdout) == (program != "app.py")


def test_hosts_by_place(monkeypatch):
    for name in ("GRADIO_SERVER_NAME", "SPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    assert parser().parse_args([]).host == "127.0.0.1"
    monkeypatch.setenv("SPACE_ID", "someone/sdxs")
    assert parser().parse_args([]).host == "0.0.0.0"
    check_address("0.0.0.0", int(free_port()))


@pytest.mark.parametrize(
    ("arguments", "space", "safety"),
    [
        ([], "", "auto"),
        (["--no-safety"], "", False),
        (["--public"], "", True),
        ([], "someone/sdxs", True),
        (["--public", "--no-safety"], "", None),
        (["--no-safety"], "someone/sdxs", None),
    ],
)
def test_who_needs_the_safety_checker(arguments, space, safety, monkeypatch, ran):
    """None: the app refuses to start."""
    monkeypatch.setenv("SPACE_ID", space)
    monkeypatch.setattr(start, "serve", lambda *_: None)
    asked = []
    monkeypatch.setattr(pages, "make_page", lambda _, options: asked.append(options.safety))
    status, _, told = ran(pages.main, "--port", free_port(), *arguments)
    assert (status, asked) == ((2, []) if safety is None else (0, [safety]))
    assert ("a public page needs the safety checker" in told) == (safety is None)


def test_a_public_page_without_a_safety_checker(tiny_checkpoint, tmp_path):
    options = ["--public", "--checkpoint", tiny_checkpoint, "--port", free_port()]
    result = app(*options, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))
    words = "no safety checker for", "it was asked for", "stable-diffusion-safety-checker"
    complains(result, *words)


@pytest.mark.parametrize(
    ("program", "checkpoint", "words"),
    [
        ("app.py", "nosuch", ("nosuch", "known names")),
        (ANIME, "", ("no style to choose", "--styles NAME")),
        (SKETCH, "", ("no control to draw for", "--controls sketch=")),
    ],
)
def test_what_is_missing(program, checkpoint, words, tiny_checkpoint):
    options = ["--checkpoint", checkpoint or tiny_checkpoint, "--port", free_port()]
    complains(app(*options, program=program), *words)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("anime", {"anime": "anime"}),
        ("a, b ,", {"a": "a", "b": "b"}),
        ("sketch=./run/control,canny", {"sketch": "./run/control", "canny": "canny"}),
        ("a=b=c", {"a": "b=c"}),
        ("", {}),
    ],
)
def test_names_of_styles_and_controls(text, named):
    assert parser().parse_args(["--styles", text]).styles == named


@pytest.mark.parametrize("program", ["app.py", SKETCH, ANIME])
def test_the_app_serves_its_page(tiny_checkpoint, tiny_control, tmp_path, program):
    port = free_port()
    command = [program, "--checkpoint", tiny_checkpoint, "--port", port]
    if program == SKETCH:
        command += ["--controls", f"sketch={tiny_control}"]
    if program == ANIME:
        lora_of_unet(tiny_checkpoint, ["to_q"]).save_pretrained(tmp_path / "ink")
        command += ["--styles", f"ink={tmp_path / 'ink'}"]
    env, log = os.environ | {"TMPDIR": str(tmp_path)}, tmp_path / "log"
    with log.open("w") as errors, running(*command, env=env, log=errors) as said:
        assert re.search(rf"http://127\.0\.0\.1:{port}/", said), log.read_text()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
            assert answer.status == 200


def test_a_connection_is_kept_for_longer_than_by_proxies(tmp_path):
    """Which would otherwise send a request in the moment in which it is closed: nginx keeps them
    for 60 s."""
    config = SimpleNamespace()
    page = SimpleNamespace(
        launch=lambda **_: None, end=lambda: None, owes=lambda: False, close=lambda **_: None,
        server=SimpleNamespace(config=config), local_url="",
    )  # fmt: skip
    front = Front()
    front.drain.begun = True
    start.serve(page, "127.0.0.1", 1, "", front, tmp_path / "own")
    assert config.timeout_keep_alive > 60


def test_gradio_keeps_few_of_its_events(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It has them for a page of its own that is off, thousands of them, a few kB each."""
    for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_ANALYTICS_MAX_EVENTS", "GRADIO_TEMP_DIR"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    start.prepare_environment(tmp_path)
    assert text_page(Standin(0))._queue.ANALYTICS_MAX_EVENTS == 100
