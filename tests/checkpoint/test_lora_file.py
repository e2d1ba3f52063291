"""Style files: each layout gives the picture that its own library gives; bad files, an error."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from loras import PROMPTS, close, kohya, lora_of_text, lora_of_unet
from mutations import Canary, Endless
from safetensors.torch import load_file, save_file
from theirs import painted, pipeline_of
from tiny import load

from sdxs import SDXS, CheckpointError
from sdxs.checkpoint.files import adapter_files
from sdxs.checkpoint.find import weights_folder
from sdxs.storybook.world.artists import ARTISTS

ODD_PICKLE = "more than named tensors|an unusual way"


def with_diffusers(checkpoint: Path, change: Any) -> torch.Tensor:
    """Pictures of diffusers' pipeline after `change(pipeline)`."""
    pipeline = pipeline_of(checkpoint, dtype=torch.float32)
    change(pipeline)
    return painted(pipeline, PROMPTS, (1, 2))


def with_peft(checkpoint: Path, folder: Path) -> torch.Tensor:
    """The same after PEFT put a style into its U-Net."""
    from peft import PeftModel

    def change(pipeline: Any) -> None:
        pipeline.unet = PeftModel.from_pretrained(pipeline.unet, folder)

    return with_diffusers(checkpoint, change)


def close_to_diffusers(checkpoint: Path, file: Path, apart: float = 0.01) -> None:
    """A style file's pictures are those of diffusers, and at least so far from plain ones."""
    model = load(checkpoint, styles={"soft": file})
    wanted = with_diffusers(checkpoint, lambda pipeline: pipeline.load_lora_weights(file))
    close(model(PROMPTS, seed=[1, 2], style="soft", output_type="pt"), wanted)
    assert (model(PROMPTS, seed=[1, 2], output_type="pt") - wanted).abs().max() > apart


def test_a_peft_folder(tiny_checkpoint: Path, peft_folder: Path, tiny_model: SDXS) -> None:
    model = load(tiny_checkpoint, styles={"anime": peft_folder})
    styled = model(PROMPTS, seed=[1, 2], style="anime", output_type="pt")
    close(styled, with_peft(tiny_checkpoint, peft_folder))
    plain = tiny_model(PROMPTS, seed=[1, 2], output_type="pt")
    assert (styled - plain).abs().max() > 0.01
    unworn = model(PROMPTS, seed=[1, 2], output_type="pt")
    close(unworn, plain)  # where a style adds to a layer, the time step is not folded into it
    nothing = model(PROMPTS, seed=[1, 2], style="anime", style_scale=0, output_type="pt")
    assert torch.equal(nothing, unworn)
    rows = model(PROMPTS, seed=[1, 2], style=[None, "anime"], output_type="pt")
    close(rows[0], plain[0])
    close(rows[1], styled[1])
    half = model(PROMPTS, seed=[1, 2], style="anime", style_scale=[0.5, 1], output_type="pt")
    close(half[1], styled[1])
    assert (half[0] - styled[0]).abs().max() > 1e-3 < (half[0] - plain[0]).abs().max()


def test_the_pickled_adapter(tiny_checkpoint: Path, peft_folder: Path, tmp_path: Path) -> None:
    shutil.copy(peft_folder / "adapter_config.json", tmp_path)
    weights = load_file(peft_folder / "adapter_model.safetensors")
    torch.save(weights, tmp_path / "adapter_model.bin")
    ours, theirs = (
        load(tiny_checkpoint, styles={"it": folder})(PROMPTS, style="it", output_type="pt")
        for folder in (tmp_path, peft_folder)
    )
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("kind", ["code", "bytes", "elsewhere", "shared"])
def test_a_pickle_with_code_in_it_or_that_claims_to_be_large(
    kind: str, tiny_checkpoint: Path, unet_lora: Any, peft_folder: Path, tmp_path: Path
) -> None:
    whole = unet_lora.state_dict().items()
    shapes = {key: part.shape for key, part in whole if ".lora_" in key}
    one = torch.zeros(max(shape.numel() for shape in shapes.values()))
    content: dict[str, dict[str, Any]] = {
        "code": {"x": Canary(tmp_path / "ran")},
        "bytes": {"x": Endless()},
        "elsewhere": {key: torch.zeros(shape, device="meta") for key, shape in shapes.items()},
        "shared": {key: one[: shape.numel()].view(shape) for key, shape in shapes.items()},
    }
    file = tmp_path / "adapter_model.bin"
    torch.save(content[kind], file)
    shutil.copy(peft_folder / "adapter_config.json", tmp_path)
    usual = {"code": "more than named tensors"}
    for path in (file, tmp_path):
        with pytest.raises(CheckpointError, match=usual.get(kind, ODD_PICKLE)):
            load(tiny_checkpoint, styles={"anime": path})
    assert not (tmp_path / "ran").exists()


def test_a_diffusers_file(tiny_checkpoint: Path, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft import get_peft_model_state_dict

    def layers(model: Any) -> dict[str, torch.Tensor]:
        state = convert_state_dict_to_diffusers(get_peft_model_state_dict(model))
        return {key.removeprefix("base_model.model."): tensor for key, tensor in state.items()}

    StableDiffusionPipeline.save_lora_weights(
        tmp_path,
        unet_lora_layers=layers(lora_of_unet(tiny_checkpoint, ["to_q", "to_v"], alpha=4)),
        text_encoder_lora_layers=layers(lora_of_text(tiny_checkpoint, ["q_proj"], alpha=4)),
    )
    close_to_diffusers(tiny_checkpoint, tmp_path / "pytorch_lora_weights.safetensors")


@pytest.mark.embedded
@pytest.mark.parametrize("style", ARTISTS)
def test_those_that_ship(style: str) -> None:
    close_to_diffusers(weights_folder("storybook"), weights_folder(f"styles/{style}"))


@pytest.mark.parametrize(
    "settings", [{}, {"use_rslora": True}, {"alpha_pattern": {"attn1.to_q": 2, "conv_in": 6}}]
)
def test_what_diffusers_notes_in_its_file(
    settings: dict[str, Any], tiny_checkpoint: Path, tmp_path: Path
) -> None:
    from diffusers import StableDiffusionPipeline
    from peft import get_peft_model_state_dict

    unet = lora_of_unet(tiny_checkpoint, **settings)
    weights = get_peft_model_state_dict(unet).items()
    StableDiffusionPipeline.save_lora_weights(
        tmp_path,
        unet_lora_layers={key.removeprefix("base_model.model."): part for key, part in weights},
        unet_lora_adapter_metadata=unet.peft_config["default"].to_dict(),
    )
    close_to_diffusers(tiny_checkpoint, tmp_path / "pytorch_lora_weights.safetensors")


def test_a_style_of_another_model(
    tiny_checkpoint: Path, peft_folder: Path, tiny_model: SDXS, tmp_path: Path
) -> None:
    before = tiny_model(PROMPTS, output_type="pt")
    weights = load_file(peft_folder / "adapter_model.safetensors")
    config = json.loads((peft_folder / "adapter_config.json").read_text())
    key = next(key for key in weights if key.endswith("lora_A.weight"))
    stray = {"base_model.model.elsewhere.lora_A.weight": torch.zeros(4, 4)}
    cases: list[tuple[dict[str, torch.Tensor], dict[str, Any], str]] = [
        ({**weights, **stray}, {}, "no layer of"),
        ({**weights, key: torch.zeros(4, 3)}, {}, "made for another model"),
        ({k: v for k, v in weights.items() if k != key}, {}, "one of its two matrices"),
        ({**weights, key: weights[key] * torch.nan}, {}, "not finite"),
        ({}, {}, "empty"),
        (weights, {"use_dora": True}, "DoRA"),
        (weights, {"lora_alpha": "eight"}, "must be numbers"),
        (weights, {"peft_type": "LOHA"}, "LOHA is not supported"),
        (weights, {"lora_alpha": {"unet": 8}, "unet": "x"}, "must be numbers"),
        (weights, {"alpha_pattern": {"(a+)+$": 2}}, "is a regular expression"),
        ({**weights, key: weights[key][:3]}, {}, "matrices of the ranks 3 and 4"),
        (weights, {"r": 8}, "has the rank 4, its settings say 8"),
        (weights, {"init_lora_weights": "pissa"}, "began as pissa is not supported"),
        ({**weights, key: weights[key].int()}, {}, "no floating point numbers"),
        (weights, {"lora_alpha": None}, "must be numbers"),
    ]
    for number, (tensors, settings, message) in enumerate(cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        save_file(tensors, folder / "adapter_model.safetensors")
        (folder / "adapter_config.json").write_text(json.dumps(config | settings))
        with pytest.raises(CheckpointError, match=message) as caught:
            load(tiny_checkpoint, styles={"other": folder})
        assert str(folder) in str(caught.value) and "\n" not in str(caught.value)
    whole = (peft_folder / "adapter_model.safetensors").read_bytes()
    (folder / "adapter_model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"adapter_model\.safetensors is damaged"):
        load(tiny_checkpoint, styles={"other": folder})
    assert torch.equal(tiny_model(PROMPTS, output_type="pt"), before)  # what was loaded before


def test_an_alpha_that_is_missing(
    tiny_checkpoint: Path, unet_lora: Any, peft_folder: Path, tmp_path: Path
) -> None:
    whole = kohya(unet_lora, "lora_unet_", 2)
    one = next(key for key in whole if key.endswith(".alpha"))
    odd = {**whole, one: torch.tensor(float("nan")).to(torch.float8_e4m3fn)}
    cases = [
        ({key: tensor for key, tensor in whole.items() if key != one}, "has no alpha"),
        (odd, "is not a number"),
    ]
    for weights, message in cases:
        file = tmp_path / "ink.safetensors"
        save_file(weights, file)
        with pytest.raises(CheckpointError, match=message):
            load(tiny_checkpoint, styles={"ink": file})
    for name in ("my.safetensors", "adapter_model.safetensors"):
        alone = shutil.copy(peft_folder / "adapter_model.safetensors", tmp_path / name)
        with pytest.raises(CheckpointError, match=r"there is no .*adapter_config\.json"):
            load(tiny_checkpoint, styles={"ink": alone})
    config = json.loads((peft_folder / "adapter_config.json").read_text())
    del config["lora_alpha"]
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="lora_alpha, which says how strong"):
        load(tiny_checkpoint, styles={"ink": alone})


def test_a_file_that_is_read_is_one_that_counts(tiny_style: Path, tmp_path: Path) -> None:
    """Whatever it is called: a graph of another style of that name would be kept otherwise."""
    shutil.copy(next(tiny_style.glob("*.safetensors")), tmp_path / "ink-v2.safetensors")
    assert set(adapter_files("styles", tmp_path)) == {"ink-v2.safetensors"}
    (tmp_path / "adapter_config.json").write_text("{}")
    assert set(adapter_files("styles", tmp_path)) == {"ink-v2.safetensors", "adapter_config.json"}
