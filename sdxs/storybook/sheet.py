"""Sample sheets of a checkpoint: python -m sdxs.storybook.sheet [--controls …] [--styles …]

Captions, each painted with its words below. With `--controls sketch canny` two rows for each: what
is followed, of scenes that nothing trains on, and what is painted. With `--styles anime` a row for
each caption, a column for each style and strength; with both, a third row of each control.
`sketch=FOLDER` takes one that does not ship.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image

from sdxs.conditions import CONTROLS
from sdxs.errors import InputError
from sdxs.pipeline import SDXS
from sdxs.storybook import command
from sdxs.storybook.judges.controls import control_images
from sdxs.storybook.judges.painters import STRENGTHS
from sdxs.storybook.judges.sheets import in_rows, sheet
from sdxs.storybook.world.captions import described, frozen_captions
from sdxs.storybook.world.scenes import HELD_OUT_SEED

SHIPPED = Path("weights/storybook.webp")
FORMATS: dict[str, dict[str, Any]] = {
    ".webp": {"quality": 90, "method": 6},
    ".png": {"optimize": True},
}
SEED = HELD_OUT_SEED + 3  # of the scenes that controls follow


def of_captions(model: SDXS, count: int, columns: int) -> Image.Image:
    """The first frozen captions; seed = line number."""
    texts = [caption.text for caption in frozen_captions()[:count]]
    return sheet([model(text, seed=seed) for seed, text in enumerate(texts)], texts, columns)


def of_controls(
    model: SDXS, controls: Iterable[str], styles: Iterable[str], columns: int
) -> Image.Image:
    """What each control follows, and below it what is painted, plainly and in each style."""
    scenes, captions = described(columns, SEED)
    texts = [caption.text for caption in captions]
    rows = []
    for control in controls:
        seen = control_images(model, control, scenes, 0)
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
    rows = []
    for seed, caption in enumerate(frozen_captions()[:count]):
        plain = model(caption.text, seed=seed)
        styled = (
            model(caption.text, seed=seed, style=style, style_scale=strength)
            for style, strength in worn
        )
        rows.append((caption.text, [plain, *styled]))
    return in_rows(rows, ["plain", *(f"{style} {strength:g}" for style, strength in worn)])


def source(text: str) -> tuple[str, str]:
    """An argparse type: NAME=FOLDER, or the name of what ships."""
    name, _, folder = text.partition("=")
    return name, folder or name


@command.told
def main(arguments: list[str] | None = None) -> None:
    parser = command.parser("sheet", __doc__)
    add = parser.add_argument
    add("--controls", type=source, nargs="+", default=(), metavar="NAME[=FOLDER]",
        help="two rows for each")  # fmt: skip
    add("--styles", type=source, nargs="+", default=(), metavar="NAME[=FOLDER]",
        help="columns of strengths")  # fmt: skip
    add("--output", type=Path, help=f"a .webp or .png (default, for captions alone: {SHIPPED})")
    add("--count", type=command.whole(1, 1000), default=32, metavar="N",
        help="frozen captions, from the first, 1 to 1000")  # fmt: skip
    add("--columns", type=command.whole(1, 100), default=8, metavar="N")
    options = parser.parse_args(arguments)
    output = options.output or (None if options.styles or options.controls else SHIPPED)
    if output is None or output.suffix not in FORMATS or not output.parent.is_dir():
        parser.error(f"--output {output or ''}: give a .webp or .png in a folder that is there")
    styles, controls = dict(options.styles), dict(options.controls)
    if unknown := set(controls) - set(CONTROLS):
        raise InputError(f"--controls takes {', '.join(CONTROLS)}, not {unknown.pop()}")
    model = command.load(options.checkpoint, styles=styles or None, controls=controls or None)
    if controls:
        page = of_controls(model, controls, styles, options.columns)
    elif styles:
        page = of_styles(model, styles, options.count)
    else:
        page = of_captions(model, options.count, options.columns)
    page.save(output, **FORMATS[output.suffix])
    print(output)


if __name__ == "__main__":
    raise SystemExit(main())
