"""A checkpoint with a style and a control, and the runtime of script.py."""

from pathlib import Path

import pytest

from sdxs.checkpoint.open import Opened, open_checkpoint
from sdxs.engines import convert, facts
from sdxs.engines.builder import Builder
from tests.engines.script import PLACE, Script


@pytest.fixture
def stored_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that stores graphs is this one."""
    monkeypatch.setattr(Builder, "run", lambda _, module, told: str(convert.answer(told)))


@pytest.fixture
def script(
    stored_here: None, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> type[Script]:
    """The runtime, with one cache for all tests."""
    monkeypatch.setenv("SDXS_CACHE", str(tmp_path_factory.getbasetemp() / "graphs of all tests"))
    monkeypatch.setitem(facts.RUNTIMES, "script", Script)
    monkeypatch.setattr(Script, "loaded", [])
    return Script


@pytest.fixture(scope="module")
def opened(tiny_checkpoint: Path, tiny_control: Path, peft_folder: Path) -> Opened:
    return open_checkpoint(
        tiny_checkpoint, styles={"anime": str(peft_folder)},
        controls={"sketch": str(tiny_control)}, safety=False, **PLACE,
    )  # fmt: skip
