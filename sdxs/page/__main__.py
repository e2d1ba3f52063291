"""The pages: `sdxs-page sketch --port 7861`, or `python -m sdxs.page`."""

import sys
from collections.abc import Sequence
from functools import partial

from sdxs.page.apps import APPS, make_page
from sdxs.server.start import parser, run


def main(arguments: Sequence[str] | None = None, page: str = "") -> int:
    """Serve a page until Ctrl+C, and give the exit status. page: the one, if it is no choice."""
    if page:
        known = parser(APPS[page].about)
    else:
        known = parser("\n".join(f"{name:8}{app.about}" for name, app in APPS.items()))
        known.add_argument("page", nargs="?", choices=tuple(APPS), default="text",
                           help="which page (default: %(default)s)")  # fmt: skip
    options = known.parse_args(arguments)
    return run(partial(make_page, page or options.page), options)


if __name__ == "__main__":
    sys.exit(main())
