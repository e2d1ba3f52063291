"""Generators that take their time, and whose picture says which request it answers."""

import hashlib
import threading
import time
import warnings
from typing import Any

import numpy as np
from PIL import Image

from sdxs.errors import NothingToFollow, PromptCutWarning

WINDOW = 300  # characters that the stand-in claims to see


class Standin:
    """`generate` for a page: sleeps, then draws the request's hash as 8 x 8 cells."""

    def __init__(self, seconds: float = 0.3) -> None:
        self.seconds = seconds
        self.made: list[str] = []  # the prompts, in the order in which they were answered
        self.batches: list[list[int]] = []  # the seeds of calls with a list of prompts
        self._lock = threading.Lock()

    def __call__(self, prompt: Any, *, seed: Any, **chosen: Any) -> Any:
        if isinstance(prompt, list):
            return self.batch(prompt, seed, **chosen)
        if "boom" in prompt:
            raise RuntimeError("a secret of the server")
        time.sleep(self.seconds)
        if len(prompt) > WINDOW:
            warnings.warn(PromptCutWarning(f"not seen: {prompt[WINDOW:]}"), stacklevel=2)
        with self._lock:
            self.made.append(prompt)
        return self.answer(prompt, seed, **chosen)

    def batch(self, prompts: list[str], seeds: list[int], **chosen: Any) -> list[Image.Image]:
        """As long as one picture, and without warnings."""
        time.sleep(self.seconds)
        self.batches.append(seeds)
        rows = range(len(prompts))
        own = [{n: v[row] if isinstance(v, list) else v for n, v in chosen.items()} for row in rows]
        return [self.answer(prompts[row], seeds[row], **own[row]) for row in rows]

    def answer(self, prompt: str, seed: int, **chosen: Any) -> Image.Image:
        return self.draw(prompt, seed, **chosen)

    @staticmethod
    def draw(
        prompt: str,
        seed: int,
        decoder: str = "tiny",
        style: str = "",
        style_scale: float = 1.0,
        **others: Any,
    ) -> Image.Image:
        facts = f"{prompt}|{seed}|{decoder}|{style}|{float(style_scale)}"
        if "walk" in others:
            way = (others.get("to_prompt"), others.get("to_seed"), float(others["walk"]))
            facts += "|".join(map(str, way))
        digest = hashlib.sha256(facts.encode()).digest()[:8]
        bits = np.unpackbits(np.frombuffer(digest, np.uint8)).reshape(8, 8)
        return Image.fromarray(np.kron(bits * 255, np.ones((16, 16), np.uint8))).convert("RGB")


class Follower(Standin):
    """The same for a page with a canvas: the picture also says what it follows, and how."""

    def answer(self, prompt: str, seed: int, **followed: Any) -> Image.Image:
        return self.follow(prompt, seed, **followed)

    @classmethod
    def follow(
        cls,
        prompt: str,
        seed: int,
        control: str = "",
        control_image: Image.Image | None = None,
        control_scale: float = 1.0,
        style: str = "",
        **others: Any,
    ) -> Image.Image:
        seen = control_image.tobytes() if control_image else b""
        facts = control, control_scale, style, hashlib.sha256(seen).hexdigest()
        return cls.draw(prompt, seed, *map(str, (facts, "")))

    @staticmethod
    def condition(name: str, picture: Image.Image) -> Image.Image:
        """The picture in grey, made small, and upside down for "canny"."""
        grey = picture.convert("L").resize((64, 64))
        if grey.getextrema() == (255, 255):
            raise NothingToFollow("there are no lines")
        return grey.transpose(Image.Transpose.ROTATE_180) if name == "canny" else grey
