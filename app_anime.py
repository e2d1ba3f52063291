"""The page of styles: type a prompt, and the picture follows in the style that you choose."""

import argparse
from typing import Any

import sdxs
from sdxs.page.about import About, welcome_picture
from sdxs.page.serve import StartError, run
from sdxs.page.ui import Page, text_page


def make_page(options: argparse.Namespace) -> Page:
    model = sdxs.SDXS.load(
        options.checkpoint,
        styles=options.styles or "all",
        controls=options.controls,
        safety=options.safety,
    )
    about = About.of(model, page="anime")
    if not about.styles:
        raise StartError(f"{model.checkpoint} has no style to choose: name one, --styles NAME")
    style = about.styles[0]

    def styled(prompt: str, *, seed: int) -> Any:
        return model(prompt, seed=seed, style=style)

    welcome = welcome_picture(styled, about)
    return text_page(model, about=about, welcome=welcome, style=style)


if __name__ == "__main__":
    run(make_page, __doc__)
