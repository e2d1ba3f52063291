"""What CUDA could not capture is not in a graph; what is compiled paints the same."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import build_checkpoint, build_control, drawing
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sdxs import SDXS
from sdxs.checkpoint.open import Opened, open_checkpoint
from sdxs.engines.recorder import Compiled
from sdxs.engines.runtime import Unavailable
from sdxs.model.eager import EagerEngine
from sdxs.model.folding import fold
from sdxs.model.graph import Spec, build_graph, example_inputs
from tests.engines.script import PLACE, near

LED: dict[str, Any] = {"style": ["anime", None], "control": "sketch", "control_image": drawing(1)}


class StaysOn(TorchDispatchMode):
    """Complains where anything touches the CPU."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        tensors = [each for each in tree_leaves((args, kwargs, result)) if torch.is_tensor(each)]
        assert all(tensor.device.type == "meta" for tensor in tensors), function
        return result


@pytest.mark.parametrize("kind", ["sd15", "sd21", "sdxl"])
@torch.no_grad()
def test_nothing_leaves_the_device_while_it_is_captured(
    kind: str, tmp_path: Path, peft_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On "meta", which has no numbers to ask for: CUDA refuses to capture either."""
    folder, led = build_checkpoint(tmp_path / kind, kind=kind, large=True), {}
    if kind == "sd15":
        control = build_control(tmp_path / "it")
        led = {"styles": {"it": str(peft_folder)}, "controls": {"it": str(control)}}
    opened: Any = open_checkpoint(folder, safety=False, **PLACE, **led)
    folded = fold(opened.networks, opened.one_step.timestep, transposed=False)
    names = ("it",) * bool(led)
    specs = Spec(), Spec("tiny", names, names), Spec("large", names, names)
    here = EagerEngine(opened.networks, opened.one_step, **PLACE)
    examples = [example_inputs(here, spec, opened.facts.readers.length, (8, 8)) for spec in specs]
    engine = EagerEngine(folded, opened.one_step, torch.device("meta"), torch.float32)
    for spec, example in zip(specs, examples, strict=True):
        graph = build_graph(engine, opened.one_step.linear(), spec)
        inputs = {name: value.to("meta") for name, value in example.items()}
        with monkeypatch.context() as patch, StaysOn():
            for made in ("tensor", "as_tensor"):  # from Python's numbers, unseen by a mode
                patch.setattr(torch, made, None)
            graph(**inputs)


@pytest.fixture
def compiles() -> Iterator[None]:
    try:
        Compiled.check(**PLACE)
    except Unavailable as reason:
        pytest.skip(str(reason))
    yield
    torch.compiler.reset()


@pytest.mark.long
@pytest.mark.usefixtures("compiles")
def test_compiled(opened: Opened) -> None:
    ours, eager = SDXS(opened, "compile", **PLACE), SDXS(opened, "eager", **PLACE)
    for seed in (1, 2):
        assert near(ours("tree", seed=seed), eager("tree", seed=seed))
        both = [side(["tree", "ball"], seed=seed, **LED) for side in (ours, eager)]
        assert near(*both)
