"""A sample sheet: captions painted by a checkpoint, each with its words below it."""

import argparse
import sys
import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from sdxs.errors import SDXSError
from sdxs.pipeline import SDXS
from sdxs.storybook.captions import frozen_captions

MARGIN, LINES, LINE = 6, 3, 12  # pixels, lines of text, pixels


def sheet(pictures: list[Image.Image], texts: list[str], columns: int) -> Image.Image:
    """Lay pictures of one size out in rows, a text below each."""
    width, height = pictures[0].size
    cell = (width + MARGIN, height + MARGIN + LINES * LINE)
    rows = -(-len(pictures) // columns)
    page = Image.new("RGB", (columns * cell[0] + MARGIN, rows * cell[1] + MARGIN), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(10)
    for index, (picture, text) in enumerate(zip(pictures, texts, strict=True)):
        x, y = MARGIN + index % columns * cell[0], MARGIN + index // columns * cell[1]
        page.paste(picture, (x, y))
        for line, words in enumerate(textwrap.wrap(text, width // 5)[:LINES]):
            pen.text((x, y + height + line * LINE), words, fill=(70, 70, 80), font=font)
    return page


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m sdxs.storybook.sheet", description=__doc__)
    parser.add_argument(
        "--checkpoint", default="storybook", help="a name under weights/ or a folder"
    )
    parser.add_argument("--output", type=Path, default=Path("weights/storybook.png"))
    add = parser.add_argument
    add("--count", type=int, default=32, choices=range(1, 1001), metavar="N",
        help="frozen captions, from the first, 1 to 1000")  # fmt: skip
    add("--columns", type=int, default=8, choices=range(1, 101), metavar="N")
    options = parser.parse_args(arguments)
    if options.output.suffix != ".png" or not options.output.parent.is_dir():
        parser.error(f"--output {options.output}: give a .png in a folder that is there")
    texts = [caption.text for caption in frozen_captions()[: options.count]]
    try:
        model = SDXS.load(options.checkpoint)
        pictures = [model(text, seed=seed) for seed, text in enumerate(texts)]
    except SDXSError as error:
        print(error, file=sys.stderr)
        return 2
    sheet(pictures, texts, options.columns).save(options.output, optimize=True)
    print(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
