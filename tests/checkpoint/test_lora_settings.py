"""What PEFT and diffusers note beside a LoRA: as they read it themselves, or refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from edits import config
from loras import PROMPTS, close, lora_of_unet, loras_of
from mutations import SETTINGS
from tiny import build_checkpoint, load

from checkpoint.test_lora_file import with_diffusers
from sdxs import CheckpointError
from sdxs.checkpoint.files import adapter_files
from sdxs.checkpoint.lora_file import read_style
from sdxs.checkpoint.parts import load_parts

NAMES = ("unet", "text_encoder", "text_encoder_2")


@pytest.fixture(scope="module")
def networks(tiny_checkpoint: Path) -> dict[str, Any]:
    parts = load_parts(tiny_checkpoint, torch.float32)[0]
    return {"unet": parts.unet, **parts.text_encoders}


@pytest.mark.parametrize(
    "settings",
    [
        {"use_rslora": True},
        {"alpha_pattern": {"to_v": 1}},
        {"alpha_pattern": {r"attn1\.to_q": 2, "to_q": 3, "^conv_in": 5, "conv_in$": 6}},
        {"rank_pattern": {"(to_q|to_k)": 2, r".*conv1": 3}},
        {"rank_pattern": {"to_q": 2}, "alpha_pattern": {"to_q": 3}, "use_rslora": True},
        {"init_lora_weights": "gaussian"},
    ],
)
def test_what_peft_notes_beside_its_file(
    settings: dict[str, Any], networks: dict[str, Any], tiny_checkpoint: Path, tmp_path: Path
) -> None:
    lora = lora_of_unet(tiny_checkpoint, **settings)
    lora.save_pretrained(tmp_path)
    for path in (tmp_path, tmp_path / "adapter_model.safetensors"):  # settings lie beside it
        additions = read_style(path, networks)["unet"]
        for layer, addition in additions.items():
            delta = lora.get_base_model().get_submodule(layer).get_delta_weight("default")
            close(torch.einsum("or...,ri...->oi...", addition.up, addition.down), delta)


def test_expressions_are_not_read_as_such(
    networks: dict[str, Any], peft_folder: Path, tmp_path: Path
) -> None:
    for name in ("(to_q|to_k)", ".*attn1.*", "(a+)+$", r"down_blocks\.\d+", ""):
        folder = spoilt(peft_folder, tmp_path, alpha_pattern={name: 2})
        with pytest.raises(CheckpointError, match="is a regular expression, which is not read"):
            read_style(folder, networks)


@pytest.mark.parametrize(
    ("beginning", "message"),
    [
        *((name, "it changes the checkpoint's own") for name in ("pissa_niter_4", "olora")),
        *((name, "it changes the checkpoint's own") for name in ("corda", "loftq", "lora_ga")),
        ("of_tomorrow", "it may change the checkpoint's own"),
        *((name, None) for name in (True, False, None, "gaussian", "eva", "orthogonal", "mica")),
    ],
)
def test_how_it_began(
    beginning: Any, message: str | None, networks: dict[str, Any], peft_folder: Path, tmp_path: Path
) -> None:
    folder = spoilt(peft_folder, tmp_path, init_lora_weights=beginning)
    if message is None:
        assert read_style(folder, networks)
        return
    with pytest.raises(CheckpointError, match=message):
        read_style(folder, networks)


@pytest.mark.parametrize(
    "setting",
    [
        {"use_dora": True}, {"use_qalora": True}, {"lora_bias": True}, {"bias": "all"},
        {"alora_invocation_tokens": [1]}, {"target_parameters": ["conv_in.weight"]},
        {"kasa_config": {}, "layer_replication": [[0, 1]]}, {"trainable_token_indices": [1]},
    ],
)  # fmt: skip
def test_what_is_more_than_lora(
    setting: dict[str, Any], networks: dict[str, Any], peft_folder: Path, tmp_path: Path
) -> None:
    folder = spoilt(peft_folder, tmp_path, **setting)
    with pytest.raises(CheckpointError, match="is not supported"):
        read_style(folder, networks)


def spoilt(style: Path, folder: Path, **settings: Any) -> Path:
    """A PEFT folder with other settings."""
    (folder / "adapter_model.safetensors").write_bytes(
        (style / "adapter_model.safetensors").read_bytes()
    )
    (folder / SETTINGS).write_text(
        json.dumps(json.loads((style / SETTINGS).read_text()) | settings)
    )
    return folder


def test_many_patterns_are_quick(
    networks: dict[str, Any], peft_folder: Path, tmp_path: Path
) -> None:
    import time

    many = {f"a.b{number}": 1 for number in range(200_000)}
    folder = spoilt(peft_folder, tmp_path, alpha_pattern=many)
    start = time.process_time()
    assert read_style(folder, networks)
    assert time.process_time() - start < 2


@pytest.mark.parametrize("kind", ["sd15", "sdxl"])
def test_a_folder_of_peft_folders(kind: str, tmp_path: Path) -> None:
    """As PEFT's own training of U-Net and text encoders leaves them, with an alpha each."""
    checkpoint = build_checkpoint(tmp_path / "it", kind=kind)
    style = tmp_path / "style"
    loras = dict(zip(NAMES, loras_of(checkpoint, std=0.1), strict=False))
    for name, lora in loras.items():
        lora.save_pretrained(style / name)
    model = load(checkpoint, styles={"both": style})
    ours = model(PROMPTS, seed=[1, 2], style="both", output_type="pt")

    def change(pipeline: Any) -> None:
        for name, lora in loras.items():
            setattr(pipeline, name, lora.merge_and_unload())

    close(ours, with_diffusers(checkpoint, change))
    assert {f"{name}/{SETTINGS}" for name in loras} <= set(adapter_files("styles", style))
    text = load(checkpoint, styles={"text": style / "text_encoder"})
    assert not text(PROMPTS, style="text", output_type="pt").equal(text(PROMPTS, output_type="pt"))


def test_a_part_for_a_network_that_is_not_there(
    networks: dict[str, Any], tiny_checkpoint: Path, peft_folder: Path, tmp_path: Path
) -> None:
    for name in ("unet", "text_encoder_2"):
        lora_of_unet(tiny_checkpoint).save_pretrained(tmp_path / name)
    with pytest.raises(CheckpointError, match="is for a text_encoder_2, which this model has not"):
        read_style(tmp_path, networks)
    (tmp_path / "text_encoder_2").rename(
        tmp_path / "text_encoder"
    )  # the U-Net's, in the wrong place
    with pytest.raises(CheckpointError, match="names no layer of this model"):
        read_style(tmp_path, networks)


def test_a_text_encoders_pattern_of_transformers_4(
    tiny_checkpoint: Path, networks: dict[str, Any], tmp_path: Path
) -> None:
    lora = loras_of(tiny_checkpoint)[1]
    lora.save_pretrained(tmp_path / "text_encoder")
    layer = "encoder.layers.0.self_attn.q_proj"
    plain = read_style(tmp_path, networks)["text_encoder"]
    for name in (f"text_model.{layer}", f"^text_model.{layer}"):
        with config(tmp_path / "text_encoder" / SETTINGS) as settings:
            settings["alpha_pattern"] = {name: 2}
        strong = read_style(tmp_path, networks)["text_encoder"]
        close(strong[layer].up * 4, plain[layer].up)
        assert strong["encoder.layers.1.mlp.fc1"].up.equal(plain["encoder.layers.1.mlp.fc1"].up)
