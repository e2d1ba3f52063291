"""A program that serves the text page on a stand-in, started and ended as the real ones are.

Without torch, so that it is there soon. Its pictures say which request they answer.
"""

import argparse
import sys

from sdxs.server import start
from sdxs.service.about import About
from tests.browser.standin import Standin


def make_page(options: argparse.Namespace) -> object:
    from sdxs.page.ui import text_page  # Gradio reads where temporary files go when it is imported

    generate = Standin(options.seconds)
    kept: list[bytearray] = []

    def leaking(prompt: str, **chosen: object) -> object:
        if options.leak:
            kept.append(bytearray(b"x") * options.leak)
        del generate.made[:]
        return generate(prompt, **chosen)

    return text_page(leaking, about=About(checkpoint="standin", size=(128, 128)))


def main() -> int:
    parser = start.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=0.05, help="that a picture takes")
    parser.add_argument("--leak", type=int, default=0, metavar="BYTES", help="kept of each picture")
    options = parser.parse_args()
    options.no_safety = True
    return start.run(make_page, options)


if __name__ == "__main__":
    sys.exit(main())
