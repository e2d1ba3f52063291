"""Tables 1 and 2: published counts, stages that are diffusers' own, and sums that are right."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from PIL import Image
from tiny import TINY, TINY_SDXL

from sdxs.bench.architectures import UNETS
from sdxs.evaluate import efficiency, paper, stages
from sdxs.evaluate.__main__ import main
from sdxs.evaluate.stages import ARCHITECTURES, Architecture, build, counted, inputs

CPU, F32 = torch.device("cpu"), torch.float32
TEXT = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "projection_dim": 24}  # fmt: skip
DECODER = {"block_out_channels": (8,) * 4, "down_block_types": ("DownEncoderBlock2D",) * 4,
           "up_block_types": ("UpDecoderBlock2D",) * 4, "norm_num_groups": 4}  # fmt: skip
FEW = ("--repeats", "3", "--warmup", "1", "--device", "cpu", "--dtype", "float32")


@pytest.mark.parametrize(
    ("name", "millions"),
    [  # of text encoders, U-Net, decoder; the U-Nets' as their cards and papers have them
        ("sd-1.5", (123.06, 859.52, 49.49)),
        ("sd-2.1-base", (340.39, 865.91, 49.49)),
        ("sdxs-512-paper", (340.39, 318.70, 1.22)),
        ("sdxl-base", (817.72, 2567.46, 49.49)),
        ("sdxs-1024", (817.72, 745.23, 1.22)),
    ],
)
def test_counts(name: str, millions: tuple[float, ...]) -> None:
    found = {stage: counted(ARCHITECTURES[name], stage) / 1e6 for stage in stages.STAGES}
    assert list(found.values()) == pytest.approx(millions, abs=0.005)
    for stage, printed in paper.EFFICIENCY.get(name, {}).items():
        assert found[stage] == pytest.approx(printed.parameters, rel=0.04)


def test_evaluations_are_the_papers() -> None:
    for name, printed in paper.EFFICIENCY.items():
        wanted = {stage: found.evaluations for stage, found in printed.items()}
        assert ARCHITECTURES[name].evaluations == wanted


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small networks under the names of table 1's two and of SDXS-1024."""
    monkeypatch.setattr(stages, "LARGE_DECODER", DECODER)
    plain = {**UNETS["sdxs-512"], **TINY, "sample_size": 8}
    large = {**UNETS["sdxs-1024"], **TINY, **TINY_SDXL, "cross_attention_dim": 56}
    toys = {
        "sd-2.1-base": Architecture("SD 2.1 base", 1, 64, plain, (TEXT,), False, 16, True),
        "sdxs-512-paper": Architecture("SDXS-512", 1, 64, plain, (TEXT,)),
        "sdxs-1024": Architecture("SDXS-1024", 2, 64, large, (TEXT, TEXT)),
    }
    for name in list(ARCHITECTURES):
        monkeypatch.delitem(ARCHITECTURES, name)
    for name, toy in toys.items():
        monkeypatch.setitem(ARCHITECTURES, name, toy)


def seeded(architecture: Architecture, stage: str) -> Any:
    torch.manual_seed(0)
    return build(architecture, stage)


def test_the_decoder_is_the_whole_of_diffusers_own(toys: None) -> None:
    large, tiny = (ARCHITECTURES[name] for name in ("sd-2.1-base", "sdxs-512-paper"))
    for architecture, kind in (
        (large, lambda: diffusers.AutoencoderKL(**DECODER)), (tiny, diffusers.AutoencoderTiny),
    ):  # fmt: skip
        network = seeded(architecture, "decoder")
        torch.manual_seed(0)
        latents = inputs(architecture, "decoder", CPU, F32)[""]
        torch.manual_seed(0)
        wanted = kind().eval().decode(latents).sample
        assert wanted.shape == (1, 3, 64, 64)
        torch.testing.assert_close(network(latents), wanted, atol=1e-5, rtol=1e-5)


def test_the_text_encoders_are_each_ones_own(toys: None) -> None:
    network = seeded(ARCHITECTURES["sdxs-1024"], "text")
    states, pooled = network(**{"ids": inputs(ARCHITECTURES["sdxs-1024"], "text", CPU, F32)[""]})
    assert states.shape == (1, 77, 32) and pooled.shape == (1, 24)


def test_the_tables(toys: None, tmp_path: Path, ran: Callable[..., Any]) -> None:
    built: list[str] = []
    spans = efficiency._spans

    def noted(architecture: Any, stage: str, *rest: Any) -> list[float]:
        built.append(f"{stage} of {architecture.title}")
        assert len(spans(architecture, stage, *rest)) == 4
        return [9.0, 0.002, 0.001, 0.004]  # seconds, the first one unmeasured

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(efficiency, "_spans", noted)
        files = ("--json", tmp_path / "it.json", "--figure", tmp_path / "it.png")
        status, told, said = ran(main, "efficiency", *FEW, *files)
    assert status == 0, said
    assert len(built) == 9 - 3  # text encoder, U-Net and tiny decoder are shared: timed once
    result = json.loads((tmp_path / "it.json").read_text())
    slow, fast, _ = result["rows"]
    assert (slow["ms"], fast["ms"]) == (2 * (2 + 32 + 1), 2 * 3)
    assert slow["stages"]["unet"]["ms"] == {"median": 2, "p95": 4, "min": 1}
    assert result["dtype"] == "float32" and result["hardware"] and result["diffusers"]
    assert "| total, ms | 4.0 (2.2) | 64.0 (512) | 2.0 (18) | 70.0 (532.2) |" in told
    assert "| evaluations | 2 (2) | 32 (32) | 1 (1) |  |" in told
    assert "- SD 2.1 base takes 11.7 times as long as SDXS-512 (the paper: 58)." in told
    assert Image.open(tmp_path / "it.png").width > 1000


def test_what_does_not_fit_is_said_and_not_built(
    toys: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ran: Callable[..., Any]
) -> None:
    monkeypatch.setattr(efficiency, "memory", lambda device: 1000)
    monkeypatch.setattr(efficiency, "_spans", lambda *_: pytest.fail("it was built"))
    files = ("--json", tmp_path / "it.json", "--figure", tmp_path / "it.png")
    status, told, said = ran(main, "efficiency", "--only", "sdxs-1024", *FEW, *files)
    assert status == 0 and "SD 2.1" not in told
    assert "latency, ms | not measured (1.8) | not measured (24) | not measured (6.1)" in told
    assert "U-Net of SDXS-1024: takes" in said and "GB are free" in said
    (row,) = json.loads((tmp_path / "it.json").read_text())["rows"]
    assert row["ms"] is None and "GB are free" in row["stages"]["unet"]["why"]


def test_all_stages_are_compiled_alike(
    toys: None, monkeypatch: pytest.MonkeyPatch, ran: Callable[..., Any]
) -> None:
    compiled: list[str] = []
    monkeypatch.setattr(efficiency, "check_compiler", lambda *_: None)
    monkeypatch.setattr(torch.nn.Module, "compile", lambda _, mode: compiled.append(mode))
    once = ("--repeats", "1", *FEW[2:], "--only", "sdxs-512-paper")
    status, told, _ = ran(main, "efficiency", *once, "--compile")
    assert status == 0 and "torch.compile" in told and compiled == 3 * ["default"]
    assert "eager PyTorch" in ran(main, "efficiency", *once)[1] and len(compiled) == 3


def test_mistakes(tmp_path: Path, ran: Callable[..., Any]) -> None:
    for wrong in (("--only", "sdxs-2048"), ("--repeats", "0"), ("--figure", "it.svg")):
        assert ran(main, "efficiency", *wrong)[0] == 2
    assert "there is no device" in ran(main, "efficiency", "--device", "tpu")[2]
    said = ran(main, "efficiency", "--json", tmp_path / "absent/it.json", "--device", "tpu")[2]
    assert "argument --json: there is no folder" in said
    assert ran(main)[0] == 2
