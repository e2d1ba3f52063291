"""Sample sheets of a checkpoint: python -m sdxs.storybook.sheet [--controls …] [--styles …]

Captions, each painted with its words below. With `--controls sketch canny` two rows for each: what
is followed, of scenes that nothing trains on, and what is painted. With `--styles anime` a row for
each caption, a column for each style and strength; with both, a third row of each control.
`sketch=FOLDER` takes one that does not ship.
"""

import argparse
import random
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from sdxs.conditions import CONTROLS
from sdxs.errors import InputError, SDXSError
from sdxs.pipeline import SDXS
from sdxs.storybook.controlled import STRENGTHS, followed
from sdxs.storybook.world.captions import describe, frozen_captions
from sdxs.storybook.world.scenes import HELD_OUT_SEED, sample_scenes

MARGIN, LINES, LINE = 6, 3, 12  # pixels, lines of text, pixels
NAMES, HEADS = 96, 24  # pixels for a row's name, for the heads of columns
SHIPPED = Path("weights/storybook.png")
SEED = HELD_OUT_SEED + 3  # of the scenes that controls follow


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


def of_captions(model: SDXS, count: int, columns: int) -> Image.Image:
    """The first frozen captions; seed = line number."""
    texts = [caption.text for caption in frozen_captions()[:count]]
    return sheet([model(text, seed=seed) for seed, text in enumerate(texts)], texts, columns)


def of_controls(
    model: SDXS, controls: Iterable[str], styles: Iterable[str], columns: int
) -> Image.Image:
    """What each control follows, and below it what is painted, plainly and in each style."""
    scenes, rng = sample_scenes(columns, SEED), random.Random(SEED)
    texts = [describe(scene, rng).text for scene in scenes]
    rows = []
    for control in controls:
        seen = followed(model, control, scenes, 0)
        rows.append((control, [picture.convert("RGB") for picture in seen]))
        for style in (None, *styles):
            painted = [
                model(text, seed=seed, control=control, control_image=picture, style=style)
                for seed, (text, picture) in enumerate(zip(texts, seen, strict=True))
            ]
            rows.append((style or "", painted))
    return in_rows(rows)


def of_styles(model: SDXS, styles: Iterable[str], count: int) -> Image.Image:
    """The first frozen captions, plainly and in each style, from weak to full strength."""
    worn = [(style, strength) for style in styles for strength in STRENGTHS[1:]]
    rows = [
        (
            caption.text,
            [
                model(caption.text, seed=seed, style=style, style_scale=strength)
                for style, strength in ((None, 1.0), *worn)
            ],
        )
        for seed, caption in enumerate(frozen_captions()[:count])
    ]
    return in_rows(rows, ["plain", *(f"{style} {strength:g}" for style, strength in worn)])


def source(text: str) -> tuple[str, str]:
    """An argparse type: NAME=FOLDER, or the name of what ships."""
    name, _, folder = text.partition("=")
    return name, folder or name


def draw(options: argparse.Namespace) -> Image.Image:
    """The sheet that is asked for. Raises InputError."""
    styles: Mapping[str, str] = dict(options.styles or ())
    controls: Mapping[str, str] = dict(options.controls or ())
    if unknown := set(controls) - set(CONTROLS):
        raise InputError(f"--controls takes {', '.join(CONTROLS)}, not {unknown.pop()}")
    model = SDXS.load(options.checkpoint, styles=styles or None, controls=controls or None)
    if controls:
        return of_controls(model, controls, styles, options.columns)
    if styles:
        return of_styles(model, styles, options.count)
    return of_captions(model, options.count, options.columns)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m sdxs.storybook.sheet", description=__doc__.splitlines()[0]
    )
    add = parser.add_argument
    add("--checkpoint", default="storybook", help="a name under weights/ or a folder")
    add("--controls", type=source, nargs="+", metavar="NAME[=FOLDER]", help="two rows for each")
    add("--styles", type=source, nargs="+", metavar="NAME[=FOLDER]", help="columns of strengths")
    add("--output", type=Path, help=f"a .png (default, for captions alone: {SHIPPED})")
    add("--count", type=int, default=32, choices=range(1, 1001), metavar="N",
        help="frozen captions, from the first, 1 to 1000")  # fmt: skip
    add("--columns", type=int, default=8, choices=range(1, 101), metavar="N")
    options = parser.parse_args(arguments)
    output = options.output or (None if options.styles or options.controls else SHIPPED)
    if output is None or output.suffix != ".png" or not output.parent.is_dir():
        parser.error(f"--output {output or ''}: give a .png in a folder that is there")
    try:
        page = draw(options)
    except SDXSError as error:
        print(error, file=sys.stderr)
        return 2
    page.save(output, optimize=True)
    print(output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
