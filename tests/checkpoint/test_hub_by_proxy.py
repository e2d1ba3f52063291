"""The Hub's client in environments as proxies, companies and mistakes make them."""

from collections.abc import Iterator
from pathlib import Path

import hub
import pytest
from hub import Hub, python

ID = "owner/name"
FETCH = """
import sys
from sdxs.errors import SDXSError
from sdxs.checkpoint import hub
pause = hub.huggingface_hub.utils._http.time.sleep
hub.huggingface_hub.utils._http.time.sleep = lambda seconds: pause(min(seconds, 0.05))
try:
    hub.repository("owner/name", "owner/name", None, ("model.safetensors",))
except SDXSError as error:
    sys.exit(str(error))
"""
SOCKS = "socks5://127.0.0.1:7891"
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("hub")
    (folder / "model.safetensors").write_bytes(b"weights")
    with hub.serve({ID: folder}) as standin:
        yield standin


@pytest.mark.parametrize(
    "more",
    [
        {"http_proxy": "SERVER", "ALL_PROXY": SOCKS},  # as desktop programs set them
        {"HTTP_PROXY": "SERVER", "https_proxy": "socks://127.0.0.1:1"},
        {"ALL_PROXY": "SERVER"},
        {"HTTP_PROXY": "SERVER", "NO_PROXY": "[::1],::1/128,,*.local"},
    ],
    ids=str,
)
def test_a_proxy_that_leads_there(more: dict[str, str], standin: Hub, tmp_path: Path) -> None:
    more = {name: value.replace("SERVER", standin.url) for name, value in more.items()}
    done = python(standin, tmp_path, FETCH, HF_ENDPOINT="http://hub.example", **more)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        ("ALL_PROXY", SOCKS, "Using SOCKS proxy, but the 'socksio' package is not installed"),
        ("all_proxy", "socks://127.0.0.1:7891/", "Unknown scheme for proxy URL"),
        ("HTTP_PROXY", "http://[::1", "Invalid port"),
        ("http_proxy", "ftp://127.0.0.1", "Unknown scheme"),
        ("SSL_CERT_FILE", "/none/ca.pem", "[Errno 2] No such file"),
    ],
)
def test_one_that_cannot_be_used(
    variable: str, value: str, why: str, standin: Hub, tmp_path: Path
) -> None:
    more = {variable: value, "HF_ENDPOINT": "http://hub.example"}
    done = python(standin, tmp_path, FETCH, **more)
    (said,) = done.stderr.strip().splitlines()
    assert said.startswith(f"{ID} cannot be fetched by {variable} as it is ({why}")
    assert said.endswith("): correct or unset it")


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "all_proxy"])
def test_one_that_does_not_answer(variable: str, standin: Hub, tmp_path: Path) -> None:
    more = {variable: NOBODY, "HF_ENDPOINT": "http://hub.example"}
    done = python(standin, tmp_path, FETCH, **more)
    said = f"{ID} is not on this machine and the Hub cannot be reached: is the proxy right that"
    assert done.stderr.strip() == f"{said} {variable} names?"
    done = python(standin, tmp_path, FETCH, HF_HUB_OFFLINE="1", ALL_PROXY=SOCKS)
    assert done.stderr.strip().endswith("and HF_HUB_OFFLINE keeps it from being fetched")


def test_what_is_here_will_do(standin: Hub, tmp_path: Path) -> None:
    assert python(standin, tmp_path, FETCH).returncode == 0
    more = {"ALL_PROXY": SOCKS, "HF_ENDPOINT": "http://hub.example"}
    done = python(standin, tmp_path, FETCH, **more)
    (said,) = done.stderr.strip().splitlines()
    assert (
        done.returncode == 0 and "could not be asked (owner/name cannot be fetched by ALL" in said
    )
