"""A GPU that is lent for a call, by a stand-in for `spaces`: a fork that gives back a pickle."""

import multiprocessing
import os
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from PIL import Image

from sdxs import zero
from sdxs.errors import InputError, PromptCutWarning, SDXSError
from sdxs.model.ending import Home
from sdxs.model.remedies import Setup
from sdxs.page import apps
from sdxs.server.start import parser
from sdxs.service.told import told


class Refusal(Exception):
    """As gr.Error, of which its message is for the visitor."""

    message = "You have exceeded your\nZeroGPU quota (5s requested vs. 0s left)."
    title = "ZeroGPU quota exceeded"


class Spaces(types.ModuleType):
    """`refuses`: there is no GPU. durations: asked for, in seconds."""

    def __init__(self) -> None:
        super().__init__("spaces")
        self.refuses: Exception | None = None
        self.durations: list[int] = []

    def GPU(self, duration: int) -> Callable[[Any], Any]:
        self.durations.append(duration)

        def wrapped(task: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any) -> Any:
                if self.refuses:
                    raise self.refuses
                context = multiprocessing.get_context("fork")
                results = context.SimpleQueue()
                fork = context.Process(target=lambda: results.put(task(*arguments)))
                fork.start()
                result = results.get()
                fork.join()
                return result

            return call

        return wrapped


@pytest.fixture
def spaces(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spaces]:
    standin = Spaces()
    monkeypatch.setitem(sys.modules, "spaces", standin)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    yield standin


def paint(prompt: str, *, seed: int) -> Any:
    if prompt == "boom":
        raise InputError("there is no boom")
    warnings.warn(PromptCutWarning(f"not seen: {os.getpid() != PARENT}", [0]), stacklevel=2)
    return Image.new("RGB", (8, 8), (seed, 0, 0))


PARENT = os.getpid()


def test_a_picture_its_warning_and_its_error_come_back(spaces: Spaces) -> None:
    borrow = zero.borrowing(paint)
    with pytest.warns(PromptCutWarning, match="not seen: True") as said:
        picture = borrow("a house", seed=7)
    assert picture.getpixel((0, 0)) == (7, 0, 0)
    assert [warning.message.rows for warning in said] == [(0,)]
    with pytest.raises(InputError, match="there is no boom"):
        borrow("boom", seed=0)
    assert spaces.durations == [zero.SECONDS] and zero.SECONDS < 60


def test_a_refusal_is_told_to_the_visitor(spaces: Spaces) -> None:
    borrow = zero.borrowing(paint)
    spaces.refuses = Refusal()
    with pytest.raises(zero.NoGPU, match=r"^You have exceeded your ZeroGPU quota"):
        borrow("a house", seed=0)
    spaces.refuses.title = "ZeroGPU worker error"
    with pytest.raises(Refusal):
        borrow("a house", seed=0)
    spaces.refuses = RuntimeError("of the package's own")
    with pytest.raises(RuntimeError, match="own"):
        borrow("a house", seed=0)


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("You have exceeded your quota (5s requested vs. 0s left). Try again in 0:25:31. ", 1531),
        ("You have exceeded your quota. Try again in 1 day, 2:00:01. ", 93_601),
        ("You have exceeded your quota. Try again in 2 days, 0:00:00. ", 172_800),
        ("You have exceeded your ZeroGPU runs limit.", zero.LATER),
        ("No GPU was available after 60s. Retry later", zero.LATER),
    ],
)
def test_a_program_is_told_when_to_come_again(message: str, seconds: int) -> None:
    """A page is not: its visitor orders the picture again."""
    said = told(zero.NoGPU(message))
    assert (said.status, said.after, said.again) == (429, seconds, False)
    assert said.note.startswith(message[:20])


@pytest.mark.parametrize(("said", "lent"), [("true", True), ("1", True), ("", False), ("0", False)])
def test_where_it_is(said: str, lent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACES_ZERO_GPU", said)
    assert zero.is_lent() is lent


def test_a_gpu_that_is_not_there_yet_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    setup = Setup(torch.device("cuda"), torch.bfloat16, torch.bfloat16)
    monkeypatch.setenv("SPACES_ZERO_GPU", "")
    assert setup.doubtful
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    assert not setup.doubtful


def test_a_fork_computes_on_a_gpu_that_is_lent(monkeypatch: pytest.MonkeyPatch) -> None:
    home, here = Home(begun=True), os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: here + 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    for device in ("cuda", "cpu"):
        with pytest.raises(SDXSError, match="forked"):
            home.check(torch.device(device))
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    home.check(torch.device("cuda"))
    with pytest.raises(SDXSError, match="forked"):
        home.check(torch.device("cpu"))


@pytest.mark.parametrize("lent", [True, False])
def test_a_page_borrows(
    lent: bool, spaces: Spaces, tiny_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    class Model:
        @staticmethod
        def load(*_: Any, **told: Any) -> Any:
            asked.append((told["device"], told["dtype"], told["engine"]))
            return tiny_model

    painted: list[int] = []
    monkeypatch.setattr(apps, "welcome_picture", lambda *_: painted.append(1))
    monkeypatch.setattr(apps.sdxs, "SDXS", Model, raising=False)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true" if lent else "")
    options = parser().parse_args([])
    options.safety = "auto"
    page = apps.make_page("text", options)
    assert bool(spaces.durations) is lent
    usual = ("cuda", "bfloat16", "eager") if lent else ("auto", "auto", "auto")
    assert asked == [usual]
    assert bool(painted) is not lent  # the welcome picture, for which there is no GPU yet
    assert ("lent.js" in page._scripts) is page._answers.about.lent is lent
