"""From a key to the picture, on the static site and on the server's page, in turns:
python -m tests.browser.web.key_to_picture [--keys 30] [--dist web/dist]

The first visit of the site is timed, from the address to the model that paints. Then a letter is
typed whenever a page rests, and measured from the moment that the browser sees the key until the
picture of the prompt as it then stands is on the page. At last what the site's tab holds in memory
(its processes' PSS). Browser, host and server share this machine. The last line is JSON.
"""

import argparse
import json
import re
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright
from tqdm import tqdm

from sdxs import SDXS
from sdxs.page.ui import text_page
from sdxs.service.about import About
from tests.browser.conftest import chromium
from tests.browser.key_to_picture import WATCH
from tests.browser.web.conftest import hosting, prompt, ready
from tests.programs import served

WARMUP = 5  # keys
RESTS = """
text => {
  const { alt } = document.getElementById("sdxs-picture");
  return alt === `${text} (seed 0)` && !document.querySelector("[data-busy]") &&
    shown.length && shown.at(-1)[0] > pressed;
}
"""


def press(tab: Page, letter: str) -> float:
    """Milliseconds from a key to the picture of the prompt as it then stands."""
    field = prompt(tab)
    field.press("Space" if letter == " " else letter)
    tab.wait_for_function(RESTS, arg=field.input_value().strip(), polling=20)
    return float(tab.evaluate("shown.at(-1)[0] - pressed"))


def figures(times: list[float]) -> dict[str, float]:
    median, most = np.percentile(times[WARMUP:], (50, 95))
    return {"median": round(float(median), 1), "p95": round(float(most), 1)}


def memory(browser: Browser) -> float:
    """MB of all renderers' memory, what they share counted in parts."""
    found = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    sizes = 0
    for process in found:
        if process["type"] == "renderer":
            rollup = Path(f"/proc/{process['id']}/smaps_rollup").read_text()
            sizes += int(re.findall(r"^Pss: +(\d+)", rollup, re.MULTILINE)[0])
    return round(sizes / 1000, 0)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--keys", type=int, default=30)
    options.add_argument("--dist", type=Path, default=Path("web/dist"))
    chosen = options.parse_args()
    model = SDXS.load("storybook")
    about = About.of(model)
    letters = (" ".join(about.examples) * (2 + chosen.keys // 10))[: chosen.keys + WARMUP]
    own: list[float] = []
    theirs: list[float] = []
    with (
        hosting(chosen.dist) as host,
        served(text_page(model, about=about, together=8)) as address,
        sync_playwright() as playwright,
    ):
        browser = chromium(playwright)
        context = browser.new_context(bypass_csp=True)  # for wait_for_function
        context.add_init_script(WATCH)
        site, page = context.new_page(), browser.new_page()
        start = time.perf_counter()
        site.goto(f"{host.url}index.html")
        ready(site)
        first = time.perf_counter() - start
        start = time.perf_counter()
        site.reload()
        ready(site)
        again = time.perf_counter() - start
        how = site.locator(".sdxs-facts").inner_text()
        page.add_init_script(WATCH)
        page.goto(address)
        for number, letter in enumerate(tqdm(letters)):
            pair = [(site, own), (page, theirs)]
            for tab, times in reversed(pair) if number % 2 else pair:
                times.append(press(tab, letter))
        page.close()
        held = memory(browser)
        browser.close()
    facts = {
        "site": how, "server": f"{model.device}, {model.dtype}", "keys": chosen.keys,
        "first_visit_s": round(first, 1), "next_visit_s": round(again, 1),
        "site_ms": figures(own), "server_ms": figures(theirs), "tab_mb": held,
    }  # fmt: skip
    print(f"the site: {how}; the first visit {first:.1f} s, the next one {again:.1f} s")
    print(
        "from a key to its picture, site: {median} ms, 95th percentile {p95}".format(**figures(own))
    )
    print("the server's page: {median} ms, 95th percentile {p95}".format(**figures(theirs)))
    print(f"the site's tab: {held:.0f} MB")
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
