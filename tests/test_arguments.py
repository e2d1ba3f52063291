"""What may be asked, checked without a model; and of a loaded one."""

import inspect
from typing import Any

import pytest
import torch
from PIL import Image

from sdxs import SDXS, InputError, arguments
from sdxs.arguments import Arguments, Offer, Row, check, typed

PICTURE = Image.new("RGB", (8, 8))
OFFER = Offer("it", (64, 64), 32, ("tiny",), ("anime", "ink"), ("sketch",))


def test_rows() -> None:
    asked = check(
        OFFER, ["a \ud83e", "b"], seed=[3, 4], style=["ink", None], style_scale=0.5,
        control=[None, "sketch"], control_image=[None, PICTURE], size=(96, 64),
    )  # fmt: skip
    assert asked.rows == (
        Row("a ?", 3, "ink", 0.5),
        Row("b", 4, None, 0.5, "sketch", PICTURE, 1.0),
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


@pytest.mark.parametrize("text", [0, "0", " 12 ", "+5", "٣", "７", 2**63 - 1, str(2**63 - 1)])
def test_typed_seeds(text: Any) -> None:
    assert arguments.seed(typed(text)) == int(text)


@pytest.mark.parametrize(
    "text", [-1, 2**63, 1.5, "1e3", "²", "1_000", "9" * 9999, None, True, "x", "", "-1", []]
)
def test_texts_that_are_no_seed(text: Any) -> None:
    with pytest.raises(InputError, match="seed must be") as caught:
        arguments.seed(typed(text))
    assert len(str(caught.value)) < 120


def test_typed_scales() -> None:
    assert repr(typed("-3")) == "-3"  # as an error then says it
    assert [arguments.scale("it", typed(x)) for x in (" 0.8", "2", 1, ".5")] == [0.8, 2, 1, 0.5]
    for wrong in ("nan", "much", "-1", "2.1", True, None, [], "inf"):
        with pytest.raises(InputError, match="it must be from 0 to 2"):
            arguments.scale("it", typed(wrong))


WRONG: dict[str, tuple[Any, dict[str, Any], str]] = {
    "empty": ("", {}, "empty"),
    "blank": (" \n\t", {}, "empty"),
    "no prompts": ([], {}, "empty list"),
    "blank in a list": (["tree", " "], {}, "empty"),
    "a number": (3, {}, "string"),
    "a picture": ([PICTURE], {}, "string"),
    "bytes": (b"tree", {}, "string"),
    "too many": (["tree"] * 257, {}, "256"),
    "negative seed": ("tree", {"seed": -1}, "seed"),
    "huge seed": ("tree", {"seed": 2**63}, "seed"),
    "endless seed": ("tree", {"seed": 10**5000}, "seed"),
    "boolean seed": ("tree", {"seed": True}, "seed"),
    "fractional seed": ("tree", {"seed": 1.5}, "seed"),
    "worded seed": ("tree", {"seed": "7"}, "seed"),
    "no seed": ("tree", {"seed": None}, "seed"),
    "seeds for one": ("tree", {"seed": [1, 2]}, "2 values for 1 prompt"),
    "seeds for three": (["tree"] * 3, {"seed": [1, 2]}, "2 values for 3 prompts"),
    "odd size": ("tree", {"size": 100}, "multiple of 32.*96 or 128"),
    "no size": ("tree", {"size": 0}, "between"),
    "huge size": ("tree", {"size": (64, 4096)}, "2048"),
    "worded size": ("tree", {"size": "64"}, "size"),
    "three sides": ("tree", {"size": (64, 64, 64)}, "size"),
    "boolean size": ("tree", {"size": True}, "size"),
    "decoder": ("tree", {"decoder": "huge"}, "decoder"),
    "output": ("tree", {"output_type": "gif"}, "output_type"),
    "style": ("tree", {"style": "anime"}, "not loaded"),
    "style of each": (["tree", "ball"], {"style": ["anime", None]}, "not loaded"),
    "styles of two": ("tree", {"style": [None, None]}, "2 values for 1 prompt"),
    "style scale": ("tree", {"style_scale": "much"}, "from 0 to 2"),
    "control": ("tree", {"control": "sketch"}, "not loaded"),
    "control image": ("tree", {"control_image": Image.new("L", (8, 8))}, "without control"),
    "control scale": ("tree", {"control_scale": -1}, "from 0 to 2"),
    "latents as a list": ("tree", {"latents": [1.0]}, "tensor"),
    "whole latents": ("tree", {"latents": torch.ones(1, 4, 8, 8, dtype=torch.int64)}, "tensor"),
    "latents of two": ("tree", {"latents": torch.zeros(2, 4, 8, 8)}, r"\(2, 4, 8, 8\)"),
    "latents of three": ("tree", {"latents": torch.zeros(1, 3, 8, 8)}, r"\(1, 3, 8, 8\)"),
    "odd latents": ("tree", {"latents": torch.zeros(1, 4, 8, 9)}, "multiple"),
    "latents and size": ("tree", {"latents": torch.zeros(1, 4, 8, 8), "size": 96}, "size is 96"),
    "infinite latents": ("tree", {"latents": torch.full((1, 4, 8, 8), torch.inf)}, "finite"),
    "a way to nowhere": ("tree", {"walk": 0.3}, "give to_prompt, to_seed or both"),
    "of two, one to nowhere": (["a", "b"], {"to_seed": [1, None], "walk": 0.3}, "leads nowhere"),
    "too far": ("tree", {"to_seed": 1, "walk": 1.5}, "walk must be from 0 to 1, not 1.5"),
    "an empty end": ("tree", {"to_prompt": " "}, "the to_prompt is empty"),
    "an end of a number": ("tree", {"to_prompt": 3}, "to_prompt must be a string"),
    "a seed at the end": ("tree", {"to_seed": -1}, "to_seed must be a whole number"),
    "guidance": ("tree", {"guidance_scale": 7.5}, "one-step"),
    "negative prompt": ("tree", {"negative_prompt": "ugly"}, "one-step"),
    "steps": ("tree", {"num_inference_steps": 1}, "one-step"),
    "strength": ("tree", {"strength": 0.5}, "one-step"),
    "misspelt": ("tree", {"seeds": 3}, "did you mean seed?"),
    "unknown": ("tree", {"qwertz": 3}, "no argument 'qwertz': known are seed"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_is_explained(name: str, tiny_model: SDXS) -> None:
    prompt, options, message = WRONG[name]
    with pytest.raises(InputError, match=message) as caught:
        tiny_model(prompt, **options)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"style": "anine"}, "did you mean 'anime'"),
        ({"style": 3}, "there is no style 3"),
        ({"style": ["anime"]}, "style has 1 values for 2 prompts"),
        ({"style": "anime", "style_scale": -1}, "style_scale must be from 0 to 2"),
        ({"style": "anime", "style_scale": float("nan")}, "style_scale must be"),
        ({"style": "anime", "style_scale": "much"}, "style_scale must be"),
        ({"control": "sketsh", "control_image": PICTURE}, "did you mean 'sketch'"),
        ({"control": "sketch"}, "needs a picture to follow"),
        ({"control_image": PICTURE}, "has no effect without control"),
        ({"control": "sketch", "control_image": "a.png"}, "must be a Pillow picture, not str"),
        ({"control": "sketch", "control_image": PICTURE, "control_scale": 3}, "from 0 to 2"),
        ({"control": "sketch", "control_image": [PICTURE] * 3}, "3 values for 2 prompts"),
    ],
)
def test_a_style_or_control_that_is_not_there(
    wrong: dict[str, Any], message: str, led_model: SDXS
) -> None:
    with pytest.raises(InputError, match=message):
        led_model(["a red house", "a big blue tree"], **wrong)
