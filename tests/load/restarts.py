"""A server that goes and comes back under pages: `python -m tests.load.restarts --times 20`.

Pages in a real browser go on typing while the program is stopped, by SIGTERM and by SIGKILL in
turn, and started again. Each is to show the picture of its last prompt by itself, without being
reloaded.
"""

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.conftest import WATCH, chromium, wait_for
from tests.browser.standin import Standin
from tests.load.program import start
from tests.programs import free_port

PAGES = 4
BACK_MS = 90_000  # that a page may take


def visited(browser: Browser, url: str) -> Page:
    page = browser.new_context().new_page()
    page.add_init_script(WATCH)
    page.goto(url)
    page.get_by_label("Prompt").wait_for()
    page.evaluate("window.same = true")
    return page


def run(browser: Browser, folder: Path, times: int) -> list[float]:
    """Seconds from each server's return to the last page's picture."""
    port, took = free_port(), []
    program = start(folder, port)
    try:
        pages = [visited(browser, f"http://127.0.0.1:{port}") for _ in range(PAGES)]
        for number in range(times):
            for place, page in enumerate(pages):
                page.get_by_label("Prompt").fill(f"before {number} {place}")
            program.send_signal((signal.SIGTERM, signal.SIGKILL)[number % 2])
            for place, page in enumerate(pages):
                page.get_by_label("Prompt").fill(f"going {number} {place}")
            program.communicate()
            for place, page in enumerate(pages):
                page.get_by_label("Prompt").fill(f"gone {number} {place}")
            program, back = start(folder, port), time.monotonic()
            for place, page in enumerate(pages):
                page.set_default_timeout(BACK_MS)
                wait_for(page, Standin.draw(f"gone {number} {place}", 0))
                assert page.evaluate("window.same"), "the page was reloaded"
            took.append(time.monotonic() - back)
    finally:
        program.kill()
        program.communicate()
    return took


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--times", type=int, default=20)
    times = options.parse_args().times
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        took = run(chromium(playwright), Path(folder), times)
    print(
        f"{times} restarts, {PAGES} pages: all went on by themselves, "
        f"{max(took):.1f} s after the server was back at most"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
