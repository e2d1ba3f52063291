"""On a CUDA device: what it captures paints what the eager engine paints there."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import build_checkpoint, drawing

from sdxs import SDXS
from sdxs.checkpoint.open import Opened, open_checkpoint
from sdxs.engines import captured, choose_engine
from tests.engines.script import near
from tests.engines.test_graphs import ASKED

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]

CUDA = torch.device("cuda")
DTYPES = [torch.float32, torch.float16]


@pytest.fixture(autouse=True)
def whole_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.fixture(scope="module", params=DTYPES, ids=str)
def opened(
    request: pytest.FixtureRequest, tiny_checkpoint: Path, tiny_control: Path, peft_folder: Path
) -> Opened:
    return open_checkpoint(
        tiny_checkpoint, styles={"anime": str(peft_folder)},
        controls={"sketch": str(tiny_control)}, safety=False, device=CUDA, dtype=request.param,
    )  # fmt: skip


def model(opened: Opened, engine: str) -> SDXS:
    return SDXS(opened, engine, CUDA, next(opened.networks.unet.parameters()).dtype)


def same(ours: Any, theirs: Any, dtype: torch.dtype) -> bool:
    """Within a level in float32, in 16 bit as near as an engine has to be."""
    if dtype == torch.float32:
        return near(ours, theirs)
    pairs = zip(ours, theirs, strict=True) if isinstance(ours, list) else [(ours, theirs)]
    error = np.mean([np.square(np.asarray(a).astype(float) - np.asarray(b)) for a, b in pairs])
    return 10 * math.log10(255**2 / max(error, 1e-9)) > 30


@pytest.mark.parametrize("options", ASKED, ids=lambda options: "+".join(options) or "plain")
def test_a_capture_paints_what_the_eager_engine_paints(
    options: dict[str, Any], opened: Opened
) -> None:
    ours, eager = model(opened, "cuda-graph"), model(opened, "eager")
    first, again = ["a red house", "tree", "a blue ball"], ["ball", "a green tree", "house"]
    for prompts in (first, again, first):
        pictures = ours(prompts, seed=[1, 2, 3], **options)
        assert same(pictures, eager(prompts, seed=[1, 2, 3], **options), ours.dtype)
        assert len({picture.tobytes() for picture in pictures}) == 3
    assert ours(first, seed=[1, 2, 3], **options) == pictures  # to the bit


def test_strength_and_many_rows(opened: Opened) -> None:
    ours, eager = model(opened, "cuda-graph"), model(opened, "eager")
    plain = ours("tree", seed=1)
    styled = [ours("tree", seed=1, style="anime", style_scale=s) for s in (0.5, 1.0, 0.5, 0)]
    assert styled[0] == styled[2] != styled[1] and styled[3] == plain
    prompts = ["a red house"] * 19
    assert same(ours(prompts, seed=range(19)), eager(prompts, seed=range(19)), ours.dtype)


def test_captures_come_and_go(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also all of them at once: memory that they shared is then gone."""
    ours = model(opened, "cuda-graph")
    wanted = {size: ours("tree", size=size) for size in (64, 96)}
    monkeypatch.setattr(captured, "RECORDINGS", 1)
    for size in (64, 96, 64, 96):
        assert same(ours("tree", size=size), wanted[size], ours.dtype)
        ours(f"tree {size}")


def test_auto(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("SDXS_ENGINE")
    ours, eager = model(opened, choose_engine("auto", CUDA, torch.float16)), model(opened, "eager")
    for seed in range(4):
        assert same(ours("tree", seed=seed), eager("tree", seed=seed), ours.dtype)
    assert "painting without" not in caplog.text
    assert len(ours._engine._graphs) == 1  # type: ignore[attr-defined]


def test_others_use_the_device_while_it_captures(opened: Opened, tmp_path: Path) -> None:
    """Two models that capture, one that does not, in threads."""
    dtype = next(opened.networks.unet.parameters()).dtype
    options: Any = {"safety": False, "device": CUDA, "dtype": dtype}
    folder = build_checkpoint(tmp_path / "it", large=True)
    sides = [SDXS.load(folder, engine=name, **options) for name in ("cuda-graph", "cuda-graph")]
    eager, start = SDXS.load(folder, engine="eager", **options), threading.Barrier(4)

    def paint(i: int) -> list[Any]:
        start.wait()
        side = [*sides, eager, eager][i]
        return [side(f"tree {seed}", seed=seed, size=64 + 32 * (seed % 4)) for seed in range(12)]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(paint, range(4)))
    for seed in range(12):
        wanted = eager(f"tree {seed}", seed=seed, size=64 + 32 * (seed % 4))
        assert all(same(pictures[seed], wanted, dtype) for pictures in found)


@pytest.mark.slow
def test_compiled(opened: Opened) -> None:
    pytest.importorskip("triton")
    ours, eager = model(opened, "compile"), model(opened, "eager")
    led: Any = {"style": "anime", "control": "sketch", "control_image": drawing(1)}
    for options in ({}, led):
        for seed in (1, 2):
            painted = [side("tree", seed=seed, **options) for side in (ours, eager)]
            assert same(*painted, ours.dtype)
