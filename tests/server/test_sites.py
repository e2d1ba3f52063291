"""Other sites, of which a browser lets each send what it wants to a page on this machine.

The attacks are those that Gradio alone lets through: `test_gradio_alone_lets_it` holds that.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from gradio.route_utils import CustomCORSMiddleware
from programs import served
from starlette.datastructures import Headers

from sdxs.page.ui import Page, text_page
from sdxs.server.front import Front
from sdxs.server.sites import ELSEWHERE, FOREIGN, Sites
from sdxs.server.start import parser
from server.asking import ask
from server.conftest import generate

EVIL = "https://evil.example"
ASKED = {"prompt": "a", "seed": 1}
PREFLIGHT = {"Access-Control-Request-Method": "POST"}
NAMED = (  # names that lead to this machine, by what resolves them
    "localtest.me:7860",  # its owner
    "a.localhost:7860",  # browsers
    "localhost.:7860",
    "[::1]:7860",
)


@pytest.fixture(scope="module")
def own() -> Iterator[Page]:
    """A page as `sdxs-page` starts it."""
    page = text_page(generate)
    front = Front.of(parser().parse_args(["--host", "127.0.0.1", "--root-path", ""]))
    with served(page, front=front):
        yield page


def painted(page: Page, **headers: str) -> tuple[int, str, str]:
    """Status, who may read it, and what is said."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    status, told, said = ask(page, "POST", "/v1/images/generations", ASKED, **headers)
    detail = json.loads(said).get("detail", "") if status == 403 else ""
    return status, told.get("access-control-allow-origin", ""), detail


@pytest.mark.parametrize("host", NAMED)
def test_gradio_alone_lets_it(host: str) -> None:
    headers = Headers({"origin": EVIL, "host": host})
    assert CustomCORSMiddleware(None).is_valid_origin(headers)


@pytest.mark.parametrize("host", ["127.0.0.1:7860", *NAMED])
@pytest.mark.parametrize("origin", [EVIL, "null", "http://localhost.evil.example:7860"])
def test_a_site_cannot_use_a_page_on_this_machine(own: Page, host: str, origin: str) -> None:
    status, reads, said = painted(own, Host=host, Origin=origin)
    assert (status, reads) == (403, "") and said in (ELSEWHERE, FOREIGN)
    headers = PREFLIGHT | {"Host": host, "Origin": origin}
    status, told, _ = ask(own, "OPTIONS", "/v1/images/generations", **headers)
    assert status == 403 and "access-control-allow-origin" not in told


def test_nor_by_a_name_that_it_gives_this_machine(own: Page) -> None:
    """DNS rebinding: for the browser it is one site, which may read everything."""
    host = "evil.example:7860"
    assert painted(own, Host=host, Origin=f"http://{host}")[::2] == (403, ELSEWHERE)
    for path in ("/", "/config", "/metrics", "/api/picture?prompt=a"):
        assert ask(own, "GET", path, Host=host)[0] == 403
    forwarded = {"Host": host, "X_Forwarded_Host": "localhost"}
    assert painted(own, **forwarded, Origin="http://localhost")[0] == 403


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "[::1]:7860", "LOCALHOST."])
@pytest.mark.parametrize("origin", ["", "http://{}", "http://localhost:5173", "app://obsidian.md"])
def test_its_own_pages_can(own: Page, host: str, origin: str) -> None:
    headers = {"Origin": origin.format(host)} if origin else {}
    assert painted(own, Host=host, **headers)[0] == 200


def refused(listens: str, root_path: str, **headers: str) -> str:
    found = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Sites.of(listens, root_path).refusal({"headers": found})


@pytest.mark.parametrize(
    ("listens", "root_path", "host", "origin", "why"),
    [
        ("127.0.0.1", "https://example.com/p", "example.com", "https://example.com", ""),
        ("127.0.0.1", "https://example.com/p", "127.0.0.1:7860", "https://example.com", ""),
        ("127.0.0.1", "https://example.com/p", "evil.example", "", ELSEWHERE),
        ("127.0.0.1", "/p", "example.com", "https://example.com", ""),
        ("127.0.0.1", "/p", "example.com", EVIL, FOREIGN),
        ("127.0.0.1", "", "192.168.1.5:80", "", ""),  # an address is nobody's to give
        ("[::1]", "", "evil.example", "", ELSEWHERE),
        ("localhost", "", "evil.example", "", ELSEWHERE),
        ("0.0.0.0", "", "box.lan:7860", "http://box.lan:7860", ""),
        ("0.0.0.0", "", "192.168.1.5:7860", EVIL, FOREIGN),
        ("0.0.0.0", "", "192.168.1.5:7860", "http://localhost", FOREIGN),
        ("127.0.0.1", "", "localhost", "http://[", FOREIGN),
        ("127.0.0.1", "", "[", "", ELSEWHERE),
    ],
)
def test_where_it_is(listens: str, root_path: str, host: str, origin: str, why: str) -> None:
    assert refused(listens, root_path, host=host, **({"origin": origin} if origin else {})) == why


def test_a_proxy_says_under_which_name() -> None:
    headers = {"host": "127.0.0.1", "origin": "https://a.dev", "x_forwarded_host": "b, a.dev"}
    assert refused("127.0.0.1", "/p", **headers) == ""
    assert refused("127.0.0.1", "/p", **headers | {"x_forwarded_host": ""}) == FOREIGN


def test_a_public_page_is_for_every_site_without_credentials(page: Page) -> None:
    """Of whoever is logged in with a proxy before it, that is."""
    asked: dict[str, Any] = {"Host": "pictures.example", "Origin": EVIL}
    assert painted(page, **asked)[:2] == (200, EVIL)
    wants = {"Access-Control-Request-Headers": "authorization, x-stainless-os"}  # as OpenAI's does
    status, told, _ = ask(page, "OPTIONS", "/v1/models", **asked, **PREFLIGHT, **wants)
    assert "authorization, x-stainless-os" in told["access-control-allow-headers"]
    for method, more in ("OPTIONS", PREFLIGHT), ("GET", {}):
        status, told, _ = ask(page, method, "/v1/models", **asked, **more)
        assert (status, told["access-control-allow-origin"]) == (200, EVIL)
        assert "access-control-allow-credentials" not in told
