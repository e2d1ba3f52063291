"""Takes the README's pictures of the pages: python -m tests.browser.screenshot [--page sketch]

Starts the page on a model, types a prompt as a visitor does, has eight seeds of it shown, draws a
house and a tree with the mouse on the canvas page, compares with and without on the page of styles,
and saves what the browser shows; with --animation also the drawing and its picture, as they came
about.
"""

import argparse
import io
import random
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from playwright.sync_api import Page

from sdxs.page.apps import APPS, make_page
from sdxs.server.start import parser
from sdxs.service.about import FIRST_SEED
from sdxs.storybook.world.render import render
from sdxs.storybook.world.scenes import Scene, Thing
from sdxs.storybook.world.sketches import contours, to_bytes
from tests.browser.conftest import opened

PROMPT = "a red house to the left of a green tree at sunset on the grass"
DRAWN = Scene(
    sky="sunset",
    ground="grass",
    layout="side",
    things=(
        Thing("house", "red", "big", x=0.28, y=0.8, height=0.42),
        Thing("tree", "green", "big", x=0.74, y=0.8, height=0.46),
    ),
    horizon=0.46,
    nuisance=2,
)
SHORTEST = 40  # of a stroke, in pixels of the scene at twice its size
EVERY, FRAME_MS, LAST_MS = 3, 150, 2500  # corners to a frame; how long a frame is shown, the last
FILM_WIDTH = 640  # pixels


def main() -> None:
    options = parser(__doc__)
    add = options.add_argument
    add("--page", choices=tuple(APPS), default="text")
    add("--prompt", default=PROMPT)
    add("--seed", default=str(FIRST_SEED))
    add("--output", type=Path, default=Path("docs/images/page.png"))
    add("--animation", type=Path, help="a .webp of the canvas and its picture")
    add("--width", type=int, default=1200, help="390 shows the page on a phone")
    add("--height", type=int, default=900, help="the canvas page needs 1000")
    add("--dark", action="store_true")
    options.set_defaults(checkpoint="storybook", safety=False)
    take(options.parse_args())


def take(options: argparse.Namespace) -> None:
    seen = {
        "viewport": {"width": options.width, "height": options.height},
        "color_scheme": "dark" if options.dark else "light",
        "device_scale_factor": 1.5,
    }
    with opened(make_page(options.page, options), **seen) as tab:
        tab.get_by_label("Seed").fill(options.seed)
        tab.get_by_label("Prompt").fill("")
        tab.get_by_label("Prompt").press_sequentially(options.prompt, delay=30)
        if options.page == "anime":
            tab.get_by_label("Compare").check()
        tab.wait_for_timeout(3000)
        if tab.locator("#sdxs-vary").is_visible():
            tab.locator("#sdxs-vary").click()
            tab.wait_for_timeout(4000)
        frames = draw(tab, bool(options.animation)) if options.page == "sketch" else []
        options.output.parent.mkdir(parents=True, exist_ok=True)
        tab.evaluate("window.scrollTo(0, 0)")
        tab.screenshot(path=options.output)
    print(options.output)
    if options.animation:
        times = [FRAME_MS] * (len(frames) - 1) + [LAST_MS]
        frames[0].save(
            options.animation, save_all=True, append_images=frames[1:], duration=times, quality=80,
            loop=0,
        )  # fmt: skip
        print(options.animation)


def strokes() -> list[np.ndarray]:
    """What a hand draws of the scene, as lines of points (N, 2), 0 to 1 from left and top."""
    picture = to_bytes(render([DRAWN], 128).picture)[0]
    chance = random.Random(0)
    lines = []
    for line in sorted(contours(picture), key=lambda line: -cv2.arcLength(line, False)):
        if cv2.arcLength(line, False) < SHORTEST:
            continue
        points = cv2.approxPolyDP(line, 2.0, False)[:, 0].astype(np.float32)
        points += [[chance.uniform(-1.5, 1.5) for _ in range(2)] for _ in points]
        lines.append(points / (2 * np.array(picture.shape[1::-1])))
    return lines


def draw(tab: Page, filmed: bool) -> list[Image.Image]:
    """Draw with the mouse; the canvas and its picture, again and again."""
    frames = []
    canvas = tab.locator("#sdxs-drawing")
    box, picture = canvas.bounding_box(), tab.locator("#sdxs-picture").bounding_box()
    assert box and picture
    left, top = (min(box[side], picture[side]) for side in ("x", "y"))
    right, bottom = (
        max(box[side] + box[size], picture[side] + picture[size])
        for side, size in (("x", "width"), ("y", "height"))
    )
    both = {"x": left, "y": top, "width": right - left, "height": bottom - top}

    def film() -> None:
        if filmed:
            shot = Image.open(io.BytesIO(tab.screenshot(clip=both, scale="css")))
            height = round(shot.height * FILM_WIDTH / shot.width)
            frames.append(shot.convert("RGB").resize((FILM_WIDTH, height), Image.Resampling.BOX))

    film()
    for line in strokes():
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in line]
        tab.mouse.move(*places[0])
        tab.mouse.down()
        for number, place in enumerate(places[1:]):
            tab.mouse.move(*place, steps=4)
            tab.wait_for_timeout(60)
            if number % EVERY == 0:
                film()
        tab.mouse.up()
    tab.wait_for_timeout(1500)
    film()
    return frames


if __name__ == "__main__":
    main()
