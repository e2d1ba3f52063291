"""The canvas page: draw, and the picture follows the stroke."""

import argparse

import sdxs
from sdxs.page.about import About, welcome_picture
from sdxs.page.serve import StartError, run
from sdxs.page.ui import Page, sketch_page


def make_page(options: argparse.Namespace) -> Page:
    model = sdxs.SDXS.load(
        options.checkpoint,
        styles=options.styles,
        controls=options.controls or "all",
        safety=options.safety,
    )
    about = About.of(model, page="sketch")
    if not about.conditions:
        raise StartError(
            f"{model.checkpoint} has no control to draw for: name one, --controls sketch=FOLDER"
        )
    welcome_picture(model, about)
    return sketch_page(model, model.condition, about=about)


if __name__ == "__main__":
    run(make_page, __doc__)
