"""Pictures laid out on one page, for people to judge."""

import textwrap
from collections.abc import Iterable, Sequence

from PIL import Image, ImageDraw, ImageFont

MARGIN, LINES, LINE = 6, 3, 12  # pixels, lines of text, pixels
NAMES, HEADS = 96, 24  # pixels for a row's name, for the heads of columns


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


def in_rows(
    rows: Iterable[tuple[str, list[Image.Image]]], heads: Sequence[str] = ()
) -> Image.Image:
    """Lay rows of pictures of one size out, before each its name, above each column its head."""
    rows = list(rows)
    width, height = (side + MARGIN for side in rows[0][1][0].size)
    longest = max(len(pictures) for _, pictures in rows)
    first = MARGIN + (HEADS if heads else 0)
    page = Image.new("RGB", (NAMES + longest * width, first + len(rows) * height), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(13)
    for column, head in enumerate(heads):
        pen.text((NAMES + column * width, MARGIN), head, "black", font)
    for number, (name, pictures) in enumerate(rows):
        top = first + number * height
        words = "\n".join(textwrap.wrap(name, 13, break_long_words=False))
        pen.multiline_text((MARGIN, top + MARGIN), words, "black", font)
        for column, picture in enumerate(pictures):
            page.paste(picture, (NAMES + column * width, top))
    return page
