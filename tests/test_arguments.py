"""What may be asked, checked without a model; `tests/test_pipeline.py` asks a loaded one."""

import inspect
from typing import Any

import pytest
import torch
from PIL import Image

from sdxs import SDXS, InputError, arguments
from sdxs.arguments import Arguments, Offer, Row, check, typed

OFFER = Offer("it", (64, 64), 32, ("tiny",), ("anime", "ink"), ("sketch",))


def test_rows() -> None:
    picture = Image.new("RGB", (8, 8))
    asked = check(
        OFFER, ["a \ud83e", "b"], seed=[3, 4], style=["ink", None], style_scale=0.5,
        control=[None, "sketch"], control_image=[None, picture], size=(96, 64),
    )  # fmt: skip
    assert asked.rows == (
        Row("a ?", 3, "ink", 0.5),
        Row("b", 4, None, 0.5, "sketch", picture, 1.0),
    )
    assert (asked.size, asked.decoder, asked.single) == ((96, 64), "tiny", False)
    assert check(OFFER, "a") == Arguments((Row("a"),), (64, 64), "tiny", "pil", True)
    latents = torch.zeros(1, 4, 8, 12)
    asked = check(OFFER, ["a"], latents=latents, output_type="pt")
    assert (asked.size, asked.single, asked.output_type) == ((96, 64), False, "pt")
    assert asked.latents is latents


def test_a_call_takes_what_is_checked() -> None:
    def known(call: Any) -> list[tuple[str, Any]]:
        return [(p.name, p.default) for p in list(inspect.signature(call).parameters.values())[1:]]

    assert known(SDXS.__call__) == known(check)


@pytest.mark.parametrize("text", [0, "0", " 12 ", 2**63 - 1, str(2**63 - 1)])
def test_typed_seeds(text: Any) -> None:
    assert arguments.seed(typed(text)) == int(text)


@pytest.mark.parametrize(
    "text", [-1, 2**63, 1.5, "1e3", "٣", "1_000", "9" * 9999, None, True, "x", "", "-1", []]
)
def test_texts_that_are_no_seed(text: Any) -> None:
    with pytest.raises(InputError, match="seed must be") as caught:
        arguments.seed(typed(text))
    assert len(str(caught.value)) < 120


def test_typed_scales() -> None:
    assert [arguments.scale("it", typed(x)) for x in (" 0.8", "2", 1, ".5")] == [0.8, 2, 1, 0.5]
    for wrong in ("nan", "much", "-1", "2.1", True, None, [], "inf"):
        with pytest.raises(InputError, match="it must be from 0 to 2"):
            arguments.scale("it", typed(wrong))
