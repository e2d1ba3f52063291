"""Pages to measure, each a program of its own: a stand-in's, and those of a real model.

`python -m tests.load.pages --port 7861 --seconds 0.02` serves the stand-in: a canvas page with
styles, controls and two decoders, whose pictures take a fixed time, alone or eight at once, and say
which request they answer. Knows nothing of who asks.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import psutil
from PIL import Image

from sdxs.metadata import reading
from sdxs.picture import encode
from sdxs.server import start
from sdxs.service.about import About
from tests.bare import bare
from tests.browser.standin import Follower
from tests.programs import free_port, running

SECONDS = 0.02  # that a picture of the stand-in takes
TOGETHER = 8  # as real pages
AT_ONCE = 1, 2, 4, 8  # pictures, in what real engines compile
LONGEST = 600  # seconds until a graph is there
# Without another engine until graphs are there, so that what is measured is one thing.
REAL = ("--checkpoint", "storybook", "--engine", "openvino")
PROGRAMS: dict[str, tuple[str, ...]] = {
    "standin": ("-m", "tests.load.pages"),
    "embedded": ("app.py", *REAL),
    "embedded-canvas": ("app_sketch.py", "--styles", "all", *REAL),
}


class Teller(Follower):
    """Its picture says all that it was asked for."""

    def answer(self, prompt: str, seed: int, **chosen: Any) -> Image.Image:
        return self.told(prompt, seed, **chosen)

    @classmethod
    def told(
        cls,
        prompt: str,
        seed: int,
        control: str = "",
        control_image: Image.Image | None = None,
        control_scale: float = 1.0,
        **chosen: Any,
    ) -> Image.Image:
        if control_image:
            seen = hashlib.sha256(control_image.tobytes()).hexdigest()
            prompt = f"{prompt}|{control}|{float(control_scale)}|{seen}"
        return cls.draw(prompt, seed, **chosen)


@dataclass(frozen=True)
class Page:
    """A page that is served. process: of this machine, None where it is another's."""

    name: str
    url: str
    process: psutil.Process | None = None

    def memory(self) -> float:
        """What it has resident, in MB; 0 where nobody can say."""
        return self.process.memory_info().rss / 2**20 if self.process else 0.0

    def options(self) -> dict[str, Any]:
        """What may be asked for, by name."""
        found: dict[str, Any] = httpx.get(f"{self.url}/api/options").json()["options"]
        return found

    def warm(self, **kind: Any) -> None:
        """Have pictures of a kind made, as many at once as an engine may compile for."""
        for count in () if self.name == "standin" else AT_ONCE:
            body = {"prompt": "a red house", "n": count, **kind}
            address = f"{self.url}/v1/images/generations"
            httpx.post(address, json=body, timeout=LONGEST).raise_for_status()

    def is_right(self, file: bytes, prompt: str, seed: int) -> bool:
        """Whether a JPEG answers a prompt and a seed: by what the stand-in drew, or else by what
        the file says of itself."""
        if self.name == "standin":
            return bare(file) == encode(Teller.draw(prompt, seed))
        found = reading.read(file, "picture")
        said = found.parameters if found else None
        return said is not None and (said.prompt, said.settings["Seed"]) == (prompt, str(seed))


def make_page(options: Any) -> object:
    from sdxs.page.ui import sketch_page  # Gradio reads where temporary files go as it is imported

    about = About(
        checkpoint="standin", size=(128, 128), conditions=("sketch", "canny"),
        styles=("ink", "wash"), decoders=("tiny", "large"),
    )  # fmt: skip
    generate = Teller(options.seconds)
    return sketch_page(generate, Teller.condition, about=about, together=TOGETHER)


@contextmanager
def served(name: str, *options: object, at: str = "") -> Iterator[Page]:
    """A page of `PROGRAMS`, until the end of the block; or the one that is at an address already.
    Ends the command with what the program complained of where it does not start."""
    if at:
        yield Page(name, at.rstrip("/"))
        return
    port = free_port()
    command = [*PROGRAMS[name], "--port", port, *options]
    with (
        tempfile.TemporaryDirectory() as folder,
        open(f"{folder}/log", "w+") as log,
        running(*command, env=os.environ | {"TMPDIR": folder}, log=log) as said,
    ):
        if port not in said:
            log.seek(0)
            raise SystemExit(log.read())
        children = psutil.Process().children()
        process = next(one for one in children if port in one.cmdline())
        yield Page(name, f"http://127.0.0.1:{port}", process)


def main() -> int:
    parser = start.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="that a picture takes")
    options = parser.parse_args()
    options.no_safety = True
    return start.run(make_page, options)


if __name__ == "__main__":
    sys.exit(main())
