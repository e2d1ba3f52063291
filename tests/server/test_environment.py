"""Pages as programs in an environment that they did not choose, and with its devices and dtypes."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from programs import ROOT, free_port, run, running

from sdxs.page import __main__ as pages
from sdxs.page import apps
from sdxs.server import start

SOCKS = "socks5://127.0.0.1:7891"
NOBODY = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("host", "environment"),
    [
        pytest.param("127.0.0.1", {"ALL_PROXY": SOCKS}, marks=pytest.mark.long),
        ("localhost", {"all_proxy": "socks://127.0.0.1:7891/", "no_proxy": "[::1],::1/128"}),
        ("127.0.0.2", {"HTTP_PROXY": NOBODY, "http_proxy": NOBODY, "REQUESTS_CA_BUNDLE": "/none"}),
        ("::1", {"HTTP_PROXY": "http://[::1", "SSL_CERT_FILE": "/none", "SSL_CERT_DIR": "/none"}),
    ],
    ids=str,
)
def test_a_page_starts(
    host: str, environment: dict[str, str], tiny_checkpoint: Path, tmp_path: Path
) -> None:
    port = free_port()
    command = ["app.py", "--checkpoint", tiny_checkpoint, "--port", port, "--host", host]
    env, log = os.environ | {"TMPDIR": str(tmp_path)} | environment, tmp_path / "log"
    with log.open("w") as errors, running(*command, env=env, log=errors) as said:
        assert f":{port}/" in said, log.read_text()  # which is said once it has answered itself
    assert list(tmp_path.iterdir()) == [log]  # it was terminated


@pytest.mark.parametrize("program", ["app.py", "-m sdxs tree --output {}/x.png", "-m sdxs.bench"])
def test_programs_that_need_the_hub_name_the_variable(program: str, tmp_path: Path) -> None:
    command = [sys.executable, *program.format(tmp_path).split(), "--checkpoint", "owner/name"]
    env = os.environ | {"ALL_PROXY": SOCKS, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        env.pop(name, None)
    done = run(*command, *(["--port", free_port()] if program == "app.py" else []), env=env)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert "owner/name cannot be fetched by ALL_PROXY as it is" in done.stderr.splitlines()[-1]


def test_the_command_paints_whatever_the_proxies(tiny_checkpoint: Path, tmp_path: Path) -> None:
    command = ["-m", "sdxs", "tree", "--checkpoint", tiny_checkpoint, "--no-safety"]
    env = os.environ | {"ALL_PROXY": SOCKS, "SSL_CERT_FILE": "/none", "HTTP_PROXY": "socks://"}
    done = run(sys.executable, *command, "--output", tmp_path / "x.png", env=env)
    assert done.returncode == 0 and (tmp_path / "x.png").is_file(), done.stderr


@pytest.mark.parametrize("page", ["text", "anime", "sketch"])
def test_device_and_dtype(page: str, monkeypatch: pytest.MonkeyPatch, ran: Any) -> None:
    class Model:
        @staticmethod
        def load(*_: Any, **told: Any) -> Any:
            raise start.StartError(f"on {told['device']} in {told['dtype']}")

    monkeypatch.setattr(apps.sdxs, "SDXS", Model, raising=False)
    for options, said in (
        ([], "on auto in auto"),
        (["--device=cpu", "--dtype=float32"], "cpu in f"),
    ):
        status, _, told = ran(pages.main, page, "--port", free_port(), *options)
        assert status == 2 and said in told


def test_remedies_are_in_the_words_of_a_command(tiny_checkpoint: Path, ran: Any) -> None:
    """Here a device; tests/model/test_remedies.py has what goes wrong with dtypes."""
    options = ["--port", free_port(), "--checkpoint", tiny_checkpoint, "--device", "cuda:99"]
    status, _, said = ran(pages.main, *options)
    assert status == 2 and said.strip().endswith("; use --device auto")


def test_make_passes_device_and_dtype_on(tmp_path: Path) -> None:
    done = run("make", "-n", "run", "DEVICE=cpu", "DTYPE=float32", "PAGE=anime")
    said = re.search(r"app_anime\.py .*", done.stdout.replace("\\\n", ""))
    assert said and "--device 'cpu' --dtype 'float32'" in said[0]


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_the_model_is_loaded(by: int, tmp_path: Path) -> None:
    code = """
import sys, time
import sdxs
class Model:
    def load(*_, **__):
        print("loading", flush=True)
        time.sleep(100)
sdxs.SDXS = Model
from sdxs.page.__main__ import main
sys.exit(main(["--port", sys.argv[1]]))
"""
    place = tmp_path / "temporary"
    place.mkdir()
    env = os.environ | {"TMPDIR": str(place)}
    command = [sys.executable, "-c", code, free_port()]
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as page:
        assert page.stdout and page.stdout.readline() == "loading\n"
        assert list(place.iterdir())
        page.send_signal(by)
        assert page.wait(60) == 130
    assert not list(place.iterdir())
