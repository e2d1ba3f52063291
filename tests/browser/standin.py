"""A generator that takes its time, and whose picture says which request it answers."""

import hashlib
import threading
import time
import warnings

import numpy as np
from PIL import Image

from sdxs.errors import PromptCutWarning

WINDOW = 300  # characters that the stand-in claims to see


class Standin:
    """`generate` for a page: sleeps, then draws the request's hash as 8 x 8 cells."""

    def __init__(self, seconds: float = 0.3) -> None:
        self.seconds = seconds
        self.made: list[str] = []  # the prompts, in the order in which they were answered
        self._lock = threading.Lock()

    def __call__(
        self, prompt: str, *, seed: int, decoder: str = "tiny", style: str = ""
    ) -> Image.Image:
        if "boom" in prompt:
            raise RuntimeError("a secret of the server")
        time.sleep(self.seconds)
        if len(prompt) > WINDOW:
            warnings.warn(PromptCutWarning(f"not seen: {prompt[WINDOW:]}"), stacklevel=2)
        with self._lock:
            self.made.append(prompt)
        return self.draw(prompt, seed, decoder, style)

    @staticmethod
    def draw(prompt: str, seed: int, decoder: str = "tiny", style: str = "") -> Image.Image:
        digest = hashlib.sha256(f"{prompt}|{seed}|{decoder}|{style}".encode()).digest()[:8]
        bits = np.unpackbits(np.frombuffer(digest, np.uint8)).reshape(8, 8)
        return Image.fromarray(np.kron(bits * 255, np.ones((16, 16), np.uint8))).convert("RGB")
