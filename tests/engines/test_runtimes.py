"""What OpenVINO and ONNX Runtime make of a graph is what the eager engine paints."""

import logging
import math
import shutil
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from theirs import pipeline_of
from tiny import TINY_SDXL, build_checkpoint, drawing, tiny_unet
from torch import Tensor, nn

from sdxs import SDXS
from sdxs.bench.architectures import UNETS
from sdxs.checkpoint.open import Opened, open_checkpoint
from sdxs.config import CHECKPOINTS, EMBEDDED
from sdxs.engines.cache import COMPILED
from sdxs.engines.graphs import GraphEngine
from sdxs.engines.onnx import OnnxRuntime
from sdxs.engines.openvino import GRAPH, OpenVINO
from sdxs.engines.runtime import Runtime
from sdxs.model.controls import Control
from sdxs.model.eager import EagerEngine, size_ids
from sdxs.model.engine import Networks
from sdxs.model.folding import fold
from sdxs.model.graph import PaintGraph, Spec, example_inputs, paint_inputs
from sdxs.model.hardware import cpu_multiplies_bfloat16

RUNTIMES = [
    pytest.param(
        runtime, id=runtime.name,
        marks=pytest.mark.skipif(find_spec(package) is None, reason=f"no {package} here"),
    )
    for runtime, package in ((OpenVINO, "openvino"), (OnnxRuntime, "onnxruntime"))
]  # fmt: skip
CPU, F32 = torch.device("cpu"), torch.float32


class Shown(PaintGraph):
    """A graph's images before they are rounded."""

    def forward(
        self,
        noise: Tensor,
        states: Tensor,
        pooled: Tensor | None = None,
        time_ids: Tensor | None = None,
        scales: Tensor | None = None,
        images: Tensor | None = None,
    ) -> Tensor:
        return self.shown(noise, states, pooled, time_ids, scales, images)[1]


def equal(
    kind: type[Runtime], networks: Networks, opened: Opened, folder: Path, spec: Spec,
    styles: Any, controls: Any,
) -> None:  # fmt: skip
    """Two rows, of another size than was traced, by the stored graph and by the eager engine."""
    one_step = opened.one_step
    plain = EagerEngine(networks, one_step, CPU, F32)
    folded = EagerEngine(fold(networks, one_step.timestep), one_step, CPU, F32)
    runtime, line = kind(CPU, F32), one_step.linear()
    example = example_inputs(folded, spec, opened.facts.readers.length, (8, 8))
    runtime.save(Shown(folded, line, spec), example, folder)

    words = plain.encode(opened.facts.readers.ids(["a red house", "tree"]), {})
    width = networks.unet.config.cross_attention_dim
    if words.states.shape[-1] != width:
        words = words._replace(states=torch.randn(2, opened.facts.readers.length, width))
    noise = torch.randn(2, 4, 8, 12)
    wanted = plain.decode(plain.denoise(noise, words, styles, controls), spec.decoder)
    inputs = paint_inputs(spec, noise, words, size_ids(noise, 8), styles, controls, 8)
    run = runtime.compile(folder, {name: tuple(value.shape) for name, value in inputs.items()})
    (found,) = run({name: value.numpy() for name, value in inputs.items()})
    assert wanted.std() > 0.01
    assert np.abs(found - wanted.numpy()).max() < 1e-4 * float(wanted.abs().max())


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("layout", UNETS)
@torch.no_grad()
def test_published_layouts(layout: str, runtime: type[Runtime], tmp_path: Path) -> None:
    kind = {"sdxs-512": "sd15", "sdxs-1024": "sdxl"}.get(layout, "sd21")
    folder = build_checkpoint(tmp_path / kind, kind=kind)
    opened = open_checkpoint(folder, safety=False, device=CPU, dtype=F32)
    networks = opened.networks
    if layout == "sdxs-512-paper":
        heads = {"attention_head_dim": [2, 4, 4], "cross_attention_dim": 64}
        networks = Networks(tiny_unet(layout, **heads), networks.text_encoders, networks.decoders)
    assert (
        layout != "sdxs-1024"
        or networks.unet.config["addition_time_embed_dim"] == (TINY_SDXL["addition_time_embed_dim"])
    )
    equal(runtime, networks, opened, tmp_path, Spec("tiny"), {}, [])


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("decoder", ["tiny", "large"])
@torch.no_grad()
def test_with_styles_and_controls(
    decoder: str, runtime: type[Runtime], tiny_checkpoint: Path, peft_folder: Path,
    tiny_control: Path, tmp_path: Path,
) -> None:  # fmt: skip
    opened = open_checkpoint(
        tiny_checkpoint, styles={"anime": str(peft_folder)},
        controls={"sketch": str(tiny_control)}, safety=False, device=CPU, dtype=F32,
    )  # fmt: skip
    styles = {"anime": torch.tensor([0.5, 1.5])}
    control = Control("sketch", torch.tensor([1]), torch.rand(1, 3, 64, 96), torch.tensor([0.7]))
    spec = Spec(decoder, ("anime",), ("sketch",))
    equal(runtime, opened.networks, opened, tmp_path, spec, styles, [control])


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_whole_model(
    runtime: type[Runtime],
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Through a process of its own, the first runtime of them, and found again."""
    if runtime is not OpenVINO:
        request.getfixturevalue("stored_here")
    monkeypatch.setenv("SDXS_CACHE", str(tmp_path / "cache"))
    folder = build_checkpoint(tmp_path / "sdxl", kind="sdxl")
    options: Any = {"device": "cpu", "dtype": "float32", "safety": False}
    eager = SDXS.load(folder, engine="eager", **options)
    wanted = [np.asarray(p).astype(int) for p in eager(["a red house", "tree"], seed=[1, 2])]
    for _ in range(2):
        ours = SDXS.load(folder, engine=runtime.name, **options)
        with caplog.at_level(logging.INFO, "sdxs.engines"):
            pictures = ours(["a red house", "tree"], seed=[1, 2])
        assert isinstance(ours._engine, GraphEngine) and ours.engine == runtime.name
        assert all(abs(np.asarray(p) - w).max() <= 1 for p, w in zip(pictures, wanted, strict=True))
        monkeypatch.setattr("sdxs.engines.builder.Builder.run", None)
    assert sum(f"painting by {runtime.name}" in message for message in caplog.messages) == 4


@pytest.mark.skipif(find_spec("openvino") is None, reason="no openvino here")
def test_what_was_compiled_just_now_is_read_again_for_its_weights_are_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, shapes, times = OpenVINO(CPU, F32), {"input": (2, 5)}, []
    runtime.save(nn.Embedding(9, 3), {"input": torch.ones(1, 1, dtype=torch.int64)}, tmp_path)
    core = runtime._core
    counted = SimpleNamespace(
        read_model=core.read_model,
        compile_model=lambda *told: times.append(told) or core.compile_model(*told),
    )
    monkeypatch.setattr(runtime, "_core", counted)
    runtime.compile(tmp_path, shapes)
    assert len(times) == 2
    runtime.compile(tmp_path, shapes)
    assert len(times) == 3


@pytest.mark.skipif(find_spec("openvino") is None, reason="no openvino here")
@pytest.mark.parametrize("fault", ["none", "cut", "foreign", "no folder"])
def test_what_openvino_compiles_is_stored(fault: str, tmp_path: Path) -> None:
    runtime, shapes = OpenVINO(CPU, F32), {"ids": (2, 5)}
    runtime.save(nn.Embedding(9, 3000), {"input": torch.ones(1, 1, dtype=torch.int64)}, tmp_path)
    graph = tmp_path / GRAPH
    graph.write_text(graph.read_text().replace('names="input"', 'names="ids"'))
    ids = np.arange(10).reshape(2, 5) % 9
    (wanted,) = runtime.compile(tmp_path, shapes)({"ids": ids})
    (blob,) = (tmp_path / COMPILED).iterdir()
    if fault == "no folder":
        shutil.rmtree(tmp_path / COMPILED)
        (tmp_path / COMPILED).write_text("a file")
    elif fault != "none":
        whole = blob.read_bytes()
        blob.unlink()
        blob.write_bytes(whole[: len(whole) // 2] if fault == "cut" else b"something else" * 99)
    (found,) = OpenVINO(CPU, F32).compile(tmp_path, shapes)({"ids": ids})
    assert np.array_equal(found, wanted) and found.shape == (2, 5, 3000)


@pytest.mark.skipif(find_spec("openvino") is None, reason="no openvino here")
@pytest.mark.embedded
@pytest.mark.usefixtures("stored_here")
@pytest.mark.parametrize(
    "led",
    [
        {},
        pytest.param({"style": "anime"}, marks=pytest.mark.long),
        pytest.param({"control": "sketch"}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_sixteen_bits_are_near_float32_diffusers(led: dict[str, Any]) -> None:
    """At least 35 dB over 32 pictures."""
    prompts = [CHECKPOINTS[EMBEDDED].examples[i % 6] for i in range(32)]
    parts = {"styles": led.get("style"), "controls": led.get("control")}
    dtype = "bfloat16" if cpu_multiplies_bfloat16() else "float32"
    ours = SDXS.load(EMBEDDED, engine="openvino", device="cpu", dtype=dtype, **parts)
    if "control" in led:
        led = led | {"control_image": drawing(1).resize(ours.size)}
    pictures = ours(prompts, seed=range(32), **led)
    if led:  # that the eager engine is diffusers there, too, is tested beside styles and controls
        eager = SDXS.load(EMBEDDED, engine="eager", device="cpu", dtype="float32", **parts)
        wanted = eager(prompts, seed=range(32), **led)
    else:
        pipeline = pipeline_of(ours.source.folder).to(F32)
        wanted = [
            pipeline(
                prompt, num_inference_steps=1, guidance_scale=1.0,
                generator=torch.Generator().manual_seed(seed),
            ).images[0]
            for seed, prompt in enumerate(prompts)
        ]  # fmt: skip
    pairs = zip(pictures, wanted, strict=True)
    error = np.mean([np.square(np.asarray(a).astype(float) - np.asarray(b)) for a, b in pairs])
    near = 10 * math.log10(255**2 / error)
    print(f"{near:.1f} dB, {dtype}")
    assert near >= 35
