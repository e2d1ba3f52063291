"""The text page: type a prompt, and the picture follows."""

import argparse

import sdxs
from sdxs.serve import run
from sdxs.ui import FIRST_SEED, About, Page, text_page


def make_page(options: argparse.Namespace) -> Page:
    model = sdxs.SDXS.load(options.checkpoint)
    about = About.of(model)
    welcome = model(about.examples[0], seed=FIRST_SEED)  # also warms the model up
    return text_page(model, about=about, welcome=welcome)


if __name__ == "__main__":
    run(make_page, __doc__)
