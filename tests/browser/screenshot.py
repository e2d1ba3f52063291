"""Takes the README's picture of the page: python -m tests.browser.screenshot [--checkpoint …]

Starts the page on a model, types a prompt as a visitor does, and saves what the browser shows.
"""

import argparse
from pathlib import Path

from playwright.sync_api import sync_playwright

from sdxs import SDXS
from sdxs.about import FIRST_SEED, About, welcome_picture
from sdxs.ui import text_page
from tests.browser.conftest import FLAGS, chromium

PROMPT = "a red house to the left of a green tree at sunset"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--checkpoint", default="storybook")
    options.add_argument("--prompt", default=PROMPT)
    options.add_argument("--seed", default=str(FIRST_SEED))
    options.add_argument("--output", type=Path, default=Path("docs/images/page.png"))
    options.add_argument("--width", type=int, default=1200, help="390 shows the page on a phone")
    options.add_argument("--height", type=int, default=900)
    options.add_argument("--dark", action="store_true")
    take(options.parse_args())


def take(options: argparse.Namespace) -> None:
    model = SDXS.load(options.checkpoint)
    about = About.of(model)
    page = text_page(model, about=about, welcome=welcome_picture(model, about))
    page.launch(server_name="127.0.0.1", quiet=True, prevent_thread_lock=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        tab = browser.new_page(
            viewport={"width": options.width, "height": options.height},
            color_scheme="dark" if options.dark else "light",
            device_scale_factor=1.5,
        )
        tab.goto(page.local_url)
        tab.get_by_label("Seed").fill(options.seed)
        tab.get_by_label("Prompt").press_sequentially(options.prompt, delay=30)
        tab.wait_for_timeout(2000)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        tab.screenshot(path=options.output)
        browser.close()
    page.close()
    print(options.output)


if __name__ == "__main__":
    main()
