"""The text page: type a prompt, and the picture follows."""

import argparse

import sdxs
from sdxs.page.about import About, welcome_picture
from sdxs.page.serve import run
from sdxs.page.ui import Page, text_page


def make_page(options: argparse.Namespace) -> Page:
    model = sdxs.SDXS.load(
        options.checkpoint,
        styles=options.styles,
        controls=options.controls,
        safety=options.safety,
    )
    about = About.of(model)
    return text_page(model, about=about, welcome=welcome_picture(model, about))


if __name__ == "__main__":
    run(make_page, __doc__)
