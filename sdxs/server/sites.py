"""Which web pages may use a page that is not public: its own, and those of this machine.

A browser sends what any site wants to any address, and keeps from the site only answers that do not
allow it. To let sites read all answers but those of `localhost`, as Gradio does, is no help: a site
may give this machine a name of its own. Knows nothing of routes.
"""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.types import Scope

ELSEWHERE = (
    "This page answers to localhost alone; behind a proxy, name its address: "
    "--root-path https://example.com"
)
FOREIGN = "Another site asks, and this page is not public: open the page itself."


@dataclass(frozen=True)
class Sites:
    """local: nobody but this machine is to find the page, by a name that no other site can have.
    host: under which a proxy shows it, "" for none."""

    local: bool = False
    host: str = ""

    @classmethod
    def of(cls, listens: str, root_path: str) -> "Sites":
        """Of a page that listens there, and is seen below a path or a whole address."""
        host = _name(root_path) if "://" in root_path else ""
        return cls(is_here(listens.strip("[]")) and (bool(host) or not root_path), host)

    def refusal(self, scope: Scope) -> str:
        """Why a request is not answered, "" for one that is."""
        headers = {name: value.decode("latin-1").strip() for name, value in scope["headers"]}
        host = _name("//" + headers.get(b"host", ""))
        known = host and (host == self.host or is_here(host) or _is_address(host))
        if self.local and not known:
            return ELSEWHERE
        origin = headers.get(b"origin", "")
        if not origin.startswith(("http:", "https:", "null")):  # none, or an installed program's
            return ""
        asks = _name(origin)
        forwarded = headers.get(b"x-forwarded-host", "").split(",")
        own = {host, self.host, *(_name("//" + name.strip()) for name in forwarded)} - {""}
        return "" if asks in own or (is_here(asks) and is_here(host)) else FOREIGN


def is_here(name: str) -> bool:
    """Whether a host's name is of the machine that asks, for whoever that is."""
    if _is_address(name):
        return ipaddress.ip_address(name).is_loopback
    return name == "localhost" or name.endswith(".localhost")


def _is_address(name: str) -> bool:
    """Not a name, which somebody gives: an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _name(address: str) -> str:
    """The host's name in an address, "" where there is none."""
    try:
        return (urlsplit(address).hostname or "").rstrip(".")
    except ValueError:  # nearly an address, of IPv6
        return ""
