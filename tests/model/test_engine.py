"""The engine: what it is given and nothing else runs the networks; a request changes none of it."""

import dataclasses
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import drawing
from torch import nn

from sdxs import SDXS
from sdxs.checkpoint.open import Opened, open_checkpoint
from sdxs.engines import ENGINES
from sdxs.model.eager import EagerEngine
from sdxs.model.styles import LowRank, Styled
from sdxs.model.text import Words

CPU = torch.device("cpu")
PLACE = {"device": CPU, "dtype": torch.float32}


@pytest.fixture(scope="module")
def opened(tiny_checkpoint: Path, tiny_control: Path, peft_folder: Path) -> Opened:
    return open_checkpoint(
        tiny_checkpoint, styles={"anime": str(peft_folder)},
        controls={"sketch": str(tiny_control)}, safety=False, **PLACE,
    )  # fmt: skip


class Counting:
    """The eager engine, which counts how often it is asked, and its networks when they run."""

    def __init__(self, opened: Opened, device: torch.device, dtype: torch.dtype) -> None:
        networks = opened.networks
        self.asked: Counter[str] = Counter()
        self.ran: Counter[str] = Counter()
        self.inside = False
        self._eager = EagerEngine(networks, opened.one_step, device, dtype)
        parts: dict[str, Any] = {"unet": networks.unet, **networks.text_encoders}
        parts |= networks.controls
        parts |= {name: decoder.network.decoder for name, decoder in networks.decoders.items()}
        for name, network in parts.items():
            network.register_forward_pre_hook(lambda *_, name=name: self._runs(name))

    def _runs(self, name: str) -> None:
        assert self.inside, f"{name} ran outside the engine"
        self.ran[name] += 1

    def __getattr__(self, name: str) -> Any:
        def ask(*arguments: Any) -> Any:
            self.asked[name] += 1
            self.inside = True
            try:
                return getattr(self._eager, name)(*arguments)
            finally:
                self.inside = False

        return ask


def plain(opened: Opened, *place: Any) -> EagerEngine:
    """The eager engine on the very networks that were opened: nothing is folded."""
    return EagerEngine(opened.networks, opened.one_step, *place)


@pytest.fixture
def counted(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> Iterator[SDXS]:
    monkeypatch.setitem(ENGINES, "counting", Counting)
    monkeypatch.setitem(ENGINES, "plain", plain)
    yield SDXS(opened, "counting", **PLACE)


def test_nothing_else_touches_the_networks(counted: SDXS, opened: Opened) -> None:
    asked: list[dict[str, Any]] = [
        {},
        {"style": ["anime", None], "style_scale": [0.5, 1]},
        {"control": "sketch", "control_image": drawing(1), "style": "anime"},
        {"control": ["sketch", None], "control_image": [drawing(1), None], "decoder": "large"},
        {"size": 96, "output_type": "pt"},
    ]
    eager = SDXS(opened, "plain", **PLACE)
    for i, options in enumerate(asked):
        counting: Any = counted._engine
        counting.asked.clear(), counting.ran.clear()
        prompts = [f"a red house {i}", f"tree {i}"]
        ours = counted(prompts, seed=[1, 2], **options)
        whole = {"denoise": 1, "decode": 1} if "output_type" in options else {"paint": 1}
        assert counting.asked == {"encode": 1, **whole}
        used = ["unet", "text_encoder", options.get("decoder", "tiny")]
        used += ["sketch"] if "control" in options else []
        assert counting.ran == dict.fromkeys(used, 1)
        counting.inside = True  # the networks are the same ones
        theirs = eager(prompts, seed=[1, 2], **options)
        counting.inside = False
        assert all(map(torch.equal, ours, theirs)) if "size" in options else ours == theirs


def test_a_model_needs_nothing_but_its_engine(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    class Standin:
        def __init__(self, *_: Any) -> None:
            pass

        def encode(self, ids: Any, styles: Any) -> Words:
            seen.update(ids=ids)
            return Words(torch.zeros(2, 16, 32))

        def denoise(self, noise: Any, words: Any, styles: Any, controls: Any, draws: Any) -> Any:
            seen.update(noise=noise, words=words, styles=styles, controls=controls)
            return noise

        def decode(self, latents: torch.Tensor, decoder: str) -> torch.Tensor:
            seen.update(decoder=decoder)
            return latents[:, :3]

    monkeypatch.setitem(ENGINES, "none", Standin)
    nothing: Any = None
    model = SDXS(dataclasses.replace(opened, parts=nothing), "none", **PLACE)
    images = model(
        ["a", "b"], style="anime", style_scale=[0.5, 0], control=["sketch", None],
        control_image=[drawing(1), None], control_scale=0.25, output_type="pt",
    )  # fmt: skip
    assert images.shape == (2, 3, 8, 8) and model.engine == "none"
    assert [row.shape for row in seen["ids"]] == [(2, 16)]
    assert seen["styles"]["anime"].tolist() == [0.5, 0]
    (control,) = seen["controls"]
    assert (control.name, control.rows.tolist(), control.scales.tolist()) == ("sketch", [0], [0.25])
    assert control.images.shape == (1, 3, 64, 64) and control.images.min() >= 0
    assert seen["decoder"] == "tiny" and seen["noise"].dtype == torch.float32


def test_only_networks_with_styles_are_wrapped(opened: Opened) -> None:
    plain = dataclasses.replace(opened.networks, styles={})
    assert EagerEngine(plain, opened.one_step, **PLACE)._styled == {}
    assert list(EagerEngine(opened.networks, opened.one_step, **PLACE)._styled) == ["unet"]


class Doubles(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2, bias=False)
        self.layer.weight.data = torch.eye(2) * 2

    def forward(self, x: torch.Tensor, *, fails: bool = False) -> torch.Tensor:
        if fails:
            raise RuntimeError("no")
        return self.layer(x)


def test_scales_are_put_right_also_after_an_error() -> None:
    network = Doubles()
    ones = LowRank(torch.ones(1, 2), torch.ones(2, 1))
    styled = Styled(network, {"it": {"layer": ones}})
    x, scales = torch.ones(2, 2), {"it": torch.tensor([1.0, 0.5])}
    assert styled(scales, x).tolist() == [[4, 4], [3, 3]]
    assert styled({}, x).tolist() == network(x).tolist() == [[2, 2], [2, 2]]
    with pytest.raises(RuntimeError, match="no"):
        styled(scales, x, fails=True)
    assert network(x).tolist() == [[2, 2], [2, 2]]
    assert styled({"another": scales["it"]}, x).tolist() == [[2, 2], [2, 2]]
