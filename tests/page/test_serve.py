"""The apps as programs: the options, and one clear line for whatever cannot work."""

import os
import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from diffusers import UNet2DConditionModel
from loras import make_lora

from sdxs.page import __main__ as pages
from sdxs.page import serve
from sdxs.page.serve import check_address, parser

ROOT = Path(__file__).resolve().parents[2]
SKETCH, ANIME = "app_sketch.py", "app_anime.py"


def app(
    *arguments: str, program: str = "app.py", **environment: str
) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *program.split(), *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def complains(result: subprocess.CompletedProcess, *words: str) -> None:
    last = result.stderr.strip().splitlines()[-1]
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in last


@pytest.fixture
def taken():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_a_port_in_use(taken):
    complains(app("--port", str(taken)), f"port {taken} is in use", "--port")


@pytest.mark.parametrize("port", ["0", "65536", "abc", "-1", "7860.5"])
def test_a_bad_port(port):
    with pytest.raises(SystemExit, match="2"):
        pages.main([f"--port={port}"])


@pytest.mark.parametrize("host", ["203.0.113.9", "a..b", "x" * 70 + ".example"])
def test_a_bad_host(host):
    complains(app("--host", host, "--port", free_port()), host, "--host")


def test_a_page_that_there_is_not(capsys):
    with pytest.raises(SystemExit, match="2"):
        pages.main(["poster"])
    assert "'text', 'anime', 'sketch'" in capsys.readouterr().err


def test_a_missing_checkpoint():
    complains(app("--checkpoint", "nosuch", "--port", free_port()), "nosuch", "known names")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission_for_temporary_files(tmp_path):
    tmp_path.chmod(0o500)
    result = app("--port", free_port(), GRADIO_TEMP_DIR=str(tmp_path / "none"))
    complains(result, str(tmp_path), "GRADIO_TEMP_DIR")


def test_an_unusable_folder_for_temporary_files(tmp_path):
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
    monkeypatch.delenv("GRADIO_SERVER_NAME", raising=False)
    monkeypatch.delenv("SPACE_ID", raising=False)
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
def test_who_needs_the_safety_checker(arguments, space, safety, monkeypatch, capsys):
    """None: the app refuses to start."""
    monkeypatch.setenv("SPACE_ID", space)
    monkeypatch.setattr(serve, "serve", lambda *_: None)
    asked = []
    monkeypatch.setattr(pages, "make_page", lambda _, options: asked.append(options.safety))
    status = pages.main(["--port", free_port(), *arguments])
    assert (status, asked) == ((2, []) if safety is None else (0, [safety]))
    told = "a public page needs the safety checker" in capsys.readouterr().err
    assert told == (safety is None)


def test_a_public_page_without_a_safety_checker(tiny_checkpoint, tmp_path):
    result = app(
        "--public", "--checkpoint", str(tiny_checkpoint), "--port", free_port(),
        HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path),
    )  # fmt: skip
    complains(
        result, "no safety checker for", "it was asked for", "stable-diffusion-safety-checker"
    )


def test_a_page_of_styles_without_one(tiny_checkpoint):
    result = app("--checkpoint", str(tiny_checkpoint), "--port", free_port(), program=ANIME)
    complains(result, "no style to choose", "--styles NAME")


def test_a_canvas_without_a_control(tiny_checkpoint):
    result = app("--checkpoint", str(tiny_checkpoint), "--port", free_port(), program=SKETCH)
    complains(result, "no control to draw for", "--controls sketch=")


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
    command = [sys.executable, program, "--checkpoint", str(tiny_checkpoint), "--port", port]
    if program == SKETCH:
        command += ["--controls", f"sketch={tiny_control}"]
    if program == ANIME:
        unet = UNet2DConditionModel.from_pretrained(tiny_checkpoint / "unet")
        make_lora(unet, ["to_q"]).save_pretrained(tmp_path / "ink")
        command += ["--styles", f"ink={tmp_path / 'ink'}"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    server = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        said = server.stdout.readline()
        assert re.search(rf"http://127\.0\.0\.1:{port}/", said), server.stderr.read()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
            assert answer.status == 200
    finally:
        server.terminate()
        server.communicate(timeout=100)
