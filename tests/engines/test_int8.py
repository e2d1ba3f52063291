"""8-bit integers: what they are calibrated on, what is quantized, how near the pictures stay."""

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sdxs import SDXS, InputError
from sdxs.checkpoint.open import Opened, open_checkpoint
from sdxs.config import EMBEDDED
from sdxs.engines import calibrate, calibration, choose_engine, int8
from sdxs.engines.builder import Builder
from sdxs.engines.calibration import MOST, outlines, read_prompts, samples
from sdxs.engines.graphs import GraphEngine
from sdxs.engines.int8 import EXACT, QUANTIZED, OpenVINOInt8
from sdxs.model.eager import EagerEngine
from sdxs.model.graph import Spec, example_inputs
from sdxs.picture import from_pixels
from sdxs.storybook.judges.accuracy import look
from sdxs.storybook.judges.evaluator import Evaluator, check
from sdxs.storybook.judges.tallies import tally
from sdxs.storybook.world.captions import FROZEN, described, frozen_captions
from sdxs.train import export

CPU, F32 = torch.device("cpu"), torch.float32
PROMPTS = [f"a red house {i}" for i in range(8)]
quantizes = pytest.mark.skipif(
    not (find_spec("openvino") and find_spec("nncf")), reason="no openvino or nncf here"
)


@pytest.fixture
def here(stored_here: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache of its own."""
    monkeypatch.setenv("SDXS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def uncorrected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the correction of biases, which takes most of the time; the embedded model has it."""
    nncf = pytest.importorskip("nncf")
    plain = nncf.AdvancedQuantizationParameters(disable_bias_correction=True)
    monkeypatch.setattr(nncf, "quantize", partial(nncf.quantize, advanced_parameters=plain))


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    file = tmp_path / "prompts.txt"
    file.write_text("\n\n".join(PROMPTS) + "\n")
    return file


def test_prompts_are_lines(prompts: Path) -> None:
    assert read_prompts(prompts) == tuple(PROMPTS)
    prompts.write_text("\n".join(map(str, range(100))))
    assert len(read_prompts(prompts)) == MOST
    prompts.write_text("one\ntwo\n\n \n")
    with pytest.raises(InputError, match=r"prompts.txt has 2 prompts: at least 8 are needed$"):
        read_prompts(prompts)
    with pytest.raises(InputError, match=r"nothing.txt cannot be read: .*No such file"):
        read_prompts(prompts.with_name("nothing.txt"))


def test_the_embedded_model_brings_its_own_which_no_score_is_taken_on() -> None:
    places = open_checkpoint(EMBEDDED, safety=False, device=CPU, dtype=F32).places
    own = calibration.prompts_of(places, EMBEDDED)
    captions = described(export.CALIBRATED_ON, export.CALIBRATION_SEED, unseen="any")[1]
    assert list(own) == [caption.text for caption in captions]
    assert not {caption.text for pairs in FROZEN for caption in frozen_captions(pairs)} & {*own}


def test_samples_are_what_a_graph_takes(opened: Opened) -> None:
    engine = EagerEngine(opened.networks, opened.one_step, CPU, F32)
    spec = Spec("tiny", ("anime",), ("sketch",))
    found = list(samples(engine, opened.facts.readers, spec, PROMPTS, (8, 8)))
    assert len(found) == len(PROMPTS)
    example = example_inputs(engine, spec, opened.facts.readers.length, (8, 8))
    for sample in found:
        assert {n: v.shape for n, v in sample.items()} == {n: v.shape for n, v in example.items()}
    assert {float(sample["scales"].mean()) for sample in found} == {0.0, 0.5, 1.0}
    assert len({float(sample["noise"].sum()) for sample in found}) == len(PROMPTS)


def test_outlines_are_white_on_black() -> None:
    square = torch.full((1, 64, 64, 3), 30, dtype=torch.uint8)
    assert outlines(square).sum() == 0  # nothing to draw
    square[:, 16:48, 16:48] = 220
    drawn = outlines(square)
    assert drawn.shape == (1, 3, 64, 64) and drawn.max() == 1
    assert drawn[..., 30, 30].sum() == 0 and drawn[..., 14:19, 30].max() > 0.5


def test_without_nncf(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setattr(int8, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"^engine 'openvino-int8' cannot be had: NNCF is not in"):
        choose_engine("openvino-int8", CPU, F32)


@quantizes
@pytest.mark.usefixtures("uncorrected")
def test_a_checkpoint_is_calibrated_by_a_command(
    tiny_checkpoint: Path, here: Path, prompts: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    command = [str(tiny_checkpoint), "--prompts", str(prompts)]
    options: Any = {"engine": "openvino-int8", "device": "cpu", "safety": False}
    remedy = r"is not calibrated for 8-bit integers: python -m sdxs.engines.calibrate .* --prompts"
    with pytest.raises(InputError, match=remedy):
        SDXS.load(tiny_checkpoint, **options)

    monkeypatch.setattr(calibrate, "LEAST", 200.0)
    assert calibrate.main(command) == 2
    assert "dB from float32, 200 are needed: nothing is kept" in capsys.readouterr().err
    assert not (here / "calibration").exists()

    monkeypatch.setattr(calibrate, "LEAST", 20.0)  # of weights that nobody trained
    assert calibrate.main(command) == 0
    assert " dB from float32 over 32 pictures" in capsys.readouterr().out
    assert read_prompts(next((here / "calibration").iterdir())) == tuple(PROMPTS)

    monkeypatch.setattr(Builder, "run", None)  # the graph is there
    ours = SDXS.load(tiny_checkpoint, **options)
    eager = SDXS.load(tiny_checkpoint, engine="eager", device="cpu", dtype="float32", safety=False)
    pair = [np.asarray(each("tree", seed=1)).astype(float) for each in (ours, eager)]
    assert 0 < np.abs(pair[0] - pair[1]).mean() < 16  # it is not float32, and it is that picture


@quantizes
@pytest.mark.usefixtures("uncorrected")
def test_what_adds_up_to_the_picture_is_exact(
    opened: Opened, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Products have integers on both sides; first and last layers, sums, and ControlNets none."""
    import openvino

    engine = GraphEngine(OpenVINOInt8, opened, CPU, F32, waits=True, prompts=PROMPTS)
    spec = Spec("tiny", controls=("sketch",))
    (file,) = engine._folder(spec).glob("*.xml")
    model = openvino.Core().read_model(file)
    quantized = set()
    for op in model.get_ops():
        if op.get_type_name() == "FakeQuantize":
            quantized |= {port.get_node() for port in op.output(0).get_target_inputs()}
    products = [op for op in model.get_ops() if op.get_type_name() in QUANTIZED]
    names = {op.get_friendly_name(): op in quantized for op in products}
    assert {op.get_type_name() for op in quantized} <= QUANTIZED
    integers = [name for name, is_quantized in names.items() if is_quantized]
    assert len(integers) > 20
    assert any("to_q" in name for name in integers)
    assert any("decoder.layers.3" in name for name in integers)
    last = max(
        int(n.split("layers.")[1].split("/")[0].split(".")[0]) for n in names if "layers." in n
    )
    for exact in (*EXACT, "decoder.layers.0", f"decoder.layers.{last}", ".networks.2."):
        assert any(exact in name for name in names), exact
        assert not any(exact in name for name in integers), exact


@quantizes
@pytest.mark.long
@pytest.mark.embedded
@pytest.mark.usefixtures("stored_here")
def test_the_embedded_model_keeps_what_captions_say(capsys: pytest.CaptureFixture[str]) -> None:
    """32 dB at least, by the command; attribute accuracy within a point of the eager engine's."""
    assert calibrate.main([EMBEDDED]) == 0
    print(capsys.readouterr().out)
    captions, judge = frozen_captions()[:300], Evaluator.load()
    shares = []
    for engine in ("openvino-int8", "eager"):
        model = SDXS.load(EMBEDDED, engine=engine, device="cpu")

        def paint(prompts: list[str], seeds: list[int], model: SDXS = model) -> torch.Tensor:
            pixels = [np.asarray(picture) for picture in model(prompts, seed=seeds)]
            return from_pixels(torch.from_numpy(np.stack(pixels)))

        right, count = tally(check(look(paint, judge, captions, engine), captions))[
            "attribute_accuracy"
        ]
        shares.append(right / count)
    print(f"attribute accuracy {shares[0]:.1%}, eager {shares[1]:.1%}")
    assert shares[0] >= shares[1] - 0.01


@quantizes
@pytest.mark.long
@pytest.mark.usefixtures("stored_here")
@pytest.mark.embedded
@pytest.mark.parametrize("led", [["--style", "anime"], ["--control", "sketch"]], ids=" ".join)
def test_in_a_style_and_with_a_control(led: list[str]) -> None:
    assert calibrate.main([EMBEDDED, *led]) == 0
