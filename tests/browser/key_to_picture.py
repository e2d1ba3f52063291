"""From a key to the picture on the text page: python -m tests.browser.key_to_picture [--keys 60]

Types prompts in a Chromium, a letter whenever the page rests, and measures from the moment that the
browser sees the key until the picture of the prompt as it then stands is on the page; in turns with
it how long the model alone takes for a new prompt, to the bytes of a JPEG. The server and the
browser share this machine. The last line is JSON.
"""

import argparse
import json
import time

import numpy as np
from tqdm import tqdm

from sdxs import SDXS
from sdxs.page.about import About
from sdxs.page.ui import text_page
from sdxs.picture import encode
from tests.bare import SCRIPT
from tests.browser.conftest import opened, source

SEED = 0
WARMUP = 10  # keys

# Every picture that is shown, and when the last key was pressed.
WATCH = (
    SCRIPT
    + """
window.shown = [];
window.pressed = 0;
document.addEventListener("load", (event) => {
  if (event.target.id === "sdxs-picture") shown.push([performance.now(), event.target.src]);
}, true);
document.addEventListener("keydown", () => { window.pressed = performance.now(); }, true);
"""
)
RESTS = """
shown.some(([time]) => time > window.pressed) && !document.querySelector("[data-busy]")
"""
SHOWN = "wanted => shown.find(([, src]) => bare(src) === wanted)?.[0]"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--checkpoint", default="storybook")
    options.add_argument("--keys", type=int, default=60)
    chosen = options.parse_args()
    model = SDXS.load(chosen.checkpoint)
    about = About.of(model)
    letters = " ".join(about.examples) * (1 + chosen.keys // 10)
    keys, models = [], []
    with opened(text_page(model, about=about), WATCH) as tab:
        prompt = ""
        for letter in tqdm(letters[: chosen.keys + WARMUP]):
            prompt += letter
            tab.get_by_label("Prompt").press("Space" if letter == " " else letter)
            tab.wait_for_function(RESTS, polling=20)  # nothing beside its work
            wanted = source(model(prompt, seed=SEED))
            shown = tab.wait_for_function(SHOWN, arg=wanted).json_value()
            keys.append(shown - tab.evaluate("window.pressed"))
            start = time.perf_counter()
            encode(model(prompt + "x", seed=SEED))  # new to the model, as the page's was
            models.append(1000 * (time.perf_counter() - start))
            tab.wait_for_timeout(100)
    key, alone = (np.percentile(times[WARMUP:], (50, 95)) for times in (keys, models))
    facts = {
        "checkpoint": model.checkpoint,
        "device": str(model.device),
        "dtype": str(model.dtype),
        "keys": chosen.keys,
        "key_to_picture_ms": {"median": round(float(key[0]), 1), "p95": round(float(key[1]), 1)},
        "model_ms": {"median": round(float(alone[0]), 1), "p95": round(float(alone[1]), 1)},
    }
    print(
        f"from a key to its picture: {key[0]:.1f} ms, 95th percentile {key[1]:.1f}; "
        f"the model alone {alone[0]:.1f}, {alone[1]:.1f}"
    )
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
