"""What the light model makes of a call, and refuses in one line."""

import copy
import itertools
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageChops
from tiny import WINDOW, drawing, tiny_tokenizer

from sdxs import CheckpointError, InputError, PromptCutWarning, SDXSError
from sdxs.conditions import condition
from sdxs.lite.folder import Kind
from sdxs.lite.graphs import KEPT
from sdxs.lite.model import SDXS
from sdxs.lite.noise import noise
from sdxs.service.about import About
from sdxs.tokens import PromptReader
from tests.lite.made import CONTROL, FACTOR, LEVELS, SIDE, STYLE

DRAWN = Image.linear_gradient("L").resize((SIDE, SIDE)).convert("RGB")  # black at the top
LED: dict[str, Any] = {"style": STYLE, "control": CONTROL, "control_image": DRAWN}


def level(picture: Image.Image) -> float:
    """Its mean, to which a style adds 20 at 1, a control 30 and its image 20 where it is white."""
    return float(np.asarray(picture, np.float64).mean())


def test_what_reaches_the_graphs(light: SDXS) -> None:
    """The seed's noise, the prompt's ids, scales, the control image, each at its place."""
    plain = light("a red house", seed=7)
    ids = PromptReader.of(tiny_tokenizer(), WINDOW).rows(["a red house"])[0]
    drawn = noise(7, (3, SIDE // FACTOR, SIDE // FACTOR)).transpose(1, 2, 0)
    sums = 20 * drawn + LEVELS["tiny"] + 0.1 * np.mean(ids)
    wanted = sums.clip(0, 255).astype(np.uint8).repeat(FACTOR, 0).repeat(FACTOR, 1)
    assert np.array_equal(plain, wanted)
    rows: list[tuple[dict[str, Any], float]] = [
        ({}, 0),
        ({"style": STYLE}, 20),
        ({"style": STYLE, "style_scale": 0.5}, 10),
        ({"style": STYLE, "style_scale": 0}, 0),
        ({**LED, "control_scale": 0.5}, 20 + 15 + 10),
        ({**LED, "style_scale": 0, "control_scale": 0}, 0),
        ({**LED, "control_image": Image.new("RGB", (9, 9))}, 20 + 30),
        ({"decoder": "large"}, LEVELS["large"] - LEVELS["tiny"]),
    ]
    for asked, more in rows:
        found = light("a red house", seed=7, **asked)
        assert level(found) == pytest.approx(level(plain) + more, abs=0.6), asked
    assert light("a red house", size=(96, 32)).size == (96, 32)
    added = np.asarray(light("a red house", seed=7, **LED), float) - np.asarray(plain, float)
    rows = added.mean((1, 2))
    assert rows[-1] > rows[0] + 15 and np.all(np.diff(rows) > -1)


def test_what_has_no_strength_needs_no_graph(light: SDXS) -> None:
    light("a red house", **LED)
    light("a red house", **LED, style_scale=0, control_scale=0)
    assert list(light._graphs._sessions)[-1] == Kind("tiny")


def test_a_batch_is_its_pictures_whatever_thread_paints(light: SDXS) -> None:
    batch = [
        light("a red house", seed=1),
        light("tree", seed=2, style=STYLE, style_scale=0.5),
        light("tree", seed=3, **LED),
    ]
    asked = {"seed": [1, 2, 3], "style": [None, STYLE, STYLE], "style_scale": [1.0, 0.5, 1.0]}
    led = {"control": [None, None, CONTROL], "control_image": [None, None, DRAWN]}
    prompts = ["a red house", "tree", "tree"]
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: light(prompts, **asked, **led), range(8)):
            assert [one.tobytes() for one in found] == [one.tobytes() for one in batch]


def test_it_says_of_itself_what_pages_ask(light: SDXS) -> None:
    about = About.of(light)
    assert (about.checkpoint, about.facts[:2]) == ("made", ("cpu", "float32"))
    assert (about.styles, about.conditions) == ((STYLE,), ("sketch", "outlines"))
    assert (about.words, about.fillers) == ({"things": ["house"]}, ["a"])
    assert about.near == {"hut": ["house"]} and "could be had" in about.safety
    assert light.engine == "lite" and copy.deepcopy(light) is light and "lite" in repr(light)
    with pytest.raises(SDXSError, match="cannot be pickled"):
        pickle.dumps(light)


def test_a_prompt_that_is_too_long_is_told_to_who_asks(light: SDXS) -> None:
    prompt = "a red house and " * 9
    assert light.cut_off(prompt).endswith("house and")
    with pytest.warns(PromptCutWarning, match="longer than the 16 tokens") as caught:
        light(["tree", prompt], to_prompt=[prompt, None], walk=[0.5, None])
    assert [each.message.rows for each in caught] == [(1,), (0,)]
    assert {each.filename for each in caught} == {__file__}


def test_walks(light: SDXS) -> None:
    ends = [light("a red house", seed=1), light("tree", seed=2)]
    frames = list(light.walk(["a red house", "tree"], seeds=[1, 2], frames=3, style=STYLE))
    assert len({frame.tobytes() for frame in frames}) == 3
    styled = [light("a red house", seed=1, style=STYLE), light("tree", seed=2, style=STYLE)]
    assert [frames[0].tobytes(), frames[2].tobytes()] == [each.tobytes() for each in styled]
    assert level(frames[1]) == pytest.approx(20 + np.mean([level(end) for end in ends]), abs=2)
    with pytest.raises(InputError, match="walk takes prompts and seeds, not latents"):
        light.walk(["a", "b"], latents=None)


def test_control_images(light: SDXS) -> None:
    paper = ImageChops.invert(drawing())
    wanted = condition("sketch", paper, (128, 128), network=lambda picture: None)
    assert not ImageChops.difference(light.condition("sketch", paper, size=128), wanted).getbbox()
    with pytest.raises(CheckpointError, match=r"needs PyTorch: pip install 'sdxs\[torch\]'"):
        light.condition("depth", drawing())


def test_few_graphs_are_kept_the_last_ones(light: SDXS) -> None:
    kinds = [Kind(*each) for each in itertools.product(LEVELS, ("", STYLE), ("", CONTROL))]
    for kind in kinds:
        led = {"control": CONTROL, "control_image": DRAWN} if kind.control else {}
        light("tree", decoder=kind.decoder, style=kind.style or None, **led)
    kept = list(light._graphs._sessions)
    assert Kind() in kept and len(kinds) > KEPT
    assert [kind for kind in kept if kind.decoder] == kinds[-KEPT:]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"latents": torch.zeros(1, 4, 8, 8)}, r"tensors of PyTorch: pip install 'sdxs\[torch\]'"),
        ({"output_type": "pt"}, r"tensors of PyTorch: pip install 'sdxs\[torch\]'"),
        ({"output_type": "jpeg"}, "output_type must be"),
        ({"style": "inc"}, "did you mean 'ink'"),
        ({"size": 60}, "cannot be drawn"),
        ({"seed": -1}, "seed must be"),
        ({"guidance_scale": 7}, "one-step"),
        ({"control": CONTROL}, "needs a picture"),
        ({"control": CONTROL, "control_image": "a.png"}, "must be a Pillow picture, not str"),
    ],
)
def test_what_it_cannot_paint(asked: dict[str, Any], said: str, light: SDXS) -> None:
    with pytest.raises(InputError, match=said) as caught:
        light("tree", **asked)
    assert "\n" not in str(caught.value)


def test_a_fork_is_told_to_load_its_own(light: SDXS, monkeypatch: pytest.MonkeyPatch) -> None:
    here = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: here + 1)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with pytest.raises(SDXSError, match="before the process forked"):
        light("tree")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # no thread is missing in the fork
    light("tree")


def test_numbers_that_are_not_finite(light: SDXS, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = light._graphs

    def broken(kind: Kind, inputs: Any) -> Any:
        outputs = graphs(kind, inputs)
        return [outputs[0], outputs[1] * np.nan] if kind.decoder else outputs

    monkeypatch.setattr(light, "_graphs", broken)
    with pytest.raises(SDXSError, match=r"not finite in float32: python -m sdxs\.export made"):
        light("tree")
