"""What the environment says of the way to the network: proxies, and whose certificates to trust.

Libraries read it when they begin, and end with it where they cannot: one bad variable is as bad as
all. Here is what it takes to begin without any of them, or to find the bad ones. Knows no library.
"""

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

from sdxs.errors import one_line

PROXIES = ("https_proxy", "all_proxy", "http_proxy")  # in capitals, too
NAMES = (*PROXIES, "no_proxy", "ssl_cert_file", "ssl_cert_dir")


def given() -> list[str]:
    """The variables that are set, as they are spelled, the most particular first."""
    found = [name for name in os.environ if name.lower() in NAMES and os.environ[name]]
    return sorted(found, key=lambda name: (NAMES.index(name.lower()), name))


@contextmanager
def only(names: Collection[str]) -> Iterator[None]:
    """Until the end of the block none of the variables is set but these."""
    kept = {name: os.environ[name] for name in os.environ if name.lower() in NAMES}
    for name in kept:
        if name not in names:
            del os.environ[name]
    try:
        yield
    finally:
        for name in given():
            del os.environ[name]
        os.environ.update(kept)


@contextmanager
def direct() -> Iterator[None]:
    """Until the end of the block the network is as without proxies, whatever else the system says
    of them: for a program that talks to itself."""
    with only(()):
        os.environ["no_proxy"] = "*"
        yield


def way_to(address: str) -> str | None:
    """The variable that names the proxy for an address; None where it is reached without."""
    parts = urlsplit(address)
    if proxy_bypass(parts.netloc):
        return None
    own = f"{parts.scheme}_proxy"
    names = (own, own.upper(), "all_proxy", "ALL_PROXY")
    return next((name for name in names if os.environ.get(name)), None)


def faulty(begin: Callable[[], object]) -> dict[str, str]:
    """The variables with which, each alone, `begin` fails, and what it says of them."""
    found = {}
    for name in given():
        with only((name,)):
            try:
                begin()
            except Exception as error:  # a library's, of any kind
                found[name] = one_line(error)
    return found
