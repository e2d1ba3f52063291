"""A checkpoint is loaded exactly as stored, or refused in one line that names file and remedy."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from edits import config
from safetensors.torch import load_file, save_file
from tiny import build_checkpoint, load, tiny_scheduler

from sdxs import SDXS, CheckpointError
from sdxs.sources import Dictionary

Edit = Callable[..., Path]
UNET = "unet/diffusion_pytorch_model.safetensors"
TEXT = "text_encoder/model.safetensors"


def refused(folder: Path, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        load(folder)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    assert str(folder) in str(caught.value)


def pictures(folder: Path) -> torch.Tensor:
    return load(folder)("a red house", seed=1, output_type="pt")


@pytest.mark.parametrize(
    "file",
    [
        *("model_index.json", "scheduler/scheduler_config.json", "tokenizer/tokenizer.json", TEXT),
        *(f"{part}/config.json" for part in ("unet", "text_encoder", "vae", "vae_large")),
        *(f"{part}/diffusion_pytorch_model.safetensors" for part in ("unet", "vae", "vae_large")),
    ],
)
def test_a_missing_or_foreign_file(file: str, edited: Edit) -> None:
    path = edited() / file
    whole = path.read_bytes()
    named = f"{Path(file).name}.*"
    for spoiled in (whole[: len(whole) // 2], b"", b"\x00\xff<html>" * 20):
        path.write_bytes(spoiled)
        refused(edited(), named)
    path.unlink()
    refused(edited(), f"{path.stem}|{path.parent}")


def test_words(edited: Edit) -> None:
    assert load(edited()).words == {}
    file = edited() / "words.json"
    file.write_text('{"things": ["ball", "house"]}')
    assert load(edited()).words == {"things": ["ball", "house"]}
    for wrong in ("[]", '{"things": "ball"}', '{"things": [1]}', "{"):
        file.write_text(wrong)
        refused(edited(), "words.json")


def test_dictionary(edited: Edit) -> None:
    assert load(edited()).dictionary == Dictionary()
    file = edited() / "dictionary.json"
    file.write_text('{"fillers": ["the"], "near": {"cottage": ["house"]}}')
    assert load(edited()).dictionary == Dictionary(["the"], {"cottage": ["house"]})
    for wrong in ("[]", '{"fillers": "the"}', '{"near": ["cottage"]}', '{"near": {"a": [1]}}', "{"):
        file.write_text(wrong)
        refused(edited(), "dictionary.json")


@pytest.mark.parametrize(("file", "key"), [(UNET, "conv_in.bias"), (TEXT, "final_layer_norm.bias")])
def test_the_exact_set_of_weights(file: str, key: str, edited: Edit) -> None:
    path = edited() / file
    whole = load_file(path)
    for spoiled, said in (
        ({name: whole[name] for name in whole if name != key}, f"{key} missing"),
        ({**whole, "other": torch.zeros(1)}, "other is surplus"),
        ({**whole, key: torch.zeros(3)}, rf"{key} has the shape \(3,\)"),
        ({**whole, key: whole[key].int()}, f"{key} is stored as I32"),
    ):
        save_file(spoiled, path)
        refused(edited(), f"{path.name}: {said}")


def test_pickles_are_not_read(edited: Edit) -> None:
    path = edited() / UNET
    path.rename(path.with_suffix(".bin"))
    refused(edited(), "is a pickle")


def test_variant_names(edited: Edit, tiny_checkpoint: Path) -> None:
    path = edited() / UNET
    path.rename(path.with_suffix(".fp16.safetensors"))
    assert torch.equal(pictures(edited()), pictures(tiny_checkpoint))


@pytest.mark.parametrize(
    ("file", "settings", "message"),
    [
        ("model_index.json", {"_class_name": "StableDiffusionXLPipeline"}, "addition_embed_type"),
        ("model_index.json", {"_class_name": "StableDiffusion3Pipeline"}, "not supported yet"),
        ("model_index.json", {"_class_name": "os.system"}, "os.system is not supported"),
        ("model_index.json", {"_class_name": ["x"]}, "not supported"),
        ("unet/config.json", {"_class_name": "ControlNetModel"}, "ControlNetModel is not"),
        ("unet/config.json", {"addition_embed_type": "text_time"}, "it is None"),
        ("unet/config.json", {"class_embed_type": "timestep"}, "not supported yet"),
        ("unet/config.json", {"sample_size": 100_000}, "sample_size"),
        ("vae/config.json", {"scaling_factor": "x"}, "needs a scaling_factor"),
        ("vae/config.json", {"scaling_factor": None}, "needs a scaling_factor"),
        ("vae_large/config.json", {"scaling_factor": 0}, "needs a scaling_factor"),
        ("text_encoder/config.json", {"eos_token_id": None}, "needs an eos_token_id"),
        ("tokenizer/tokenizer_config.json", {"pad_token": None}, "cannot be read"),
        ("tokenizer/tokenizer_config.json", {"model_max_length": -5}, "is below 2"),
        ("tokenizer/tokenizer_config.json", {"model_max_length": 1}, "is below 2"),
        ("unet/config.json", {"block_out_channels": [16, 32, 64]}, "has the shape"),
        ("unet/config.json", {"block_out_channels": "16"}, "no network can be built"),
        ("unet/config.json", {"down_block_types": ["x", "y", "z"]}, "no network can be built"),
        ("unet/config.json", {"cross_attention_dim": 48}, "has the shape"),
        ("unet/config.json", {"sample_size": None}, "sample_size"),
        ("unet/config.json", {"sample_size": [8, "8"]}, "sample_size"),
        ("vae/config.json", {"_class_name": "AutoencoderOobleck"}, "AutoencoderKL are"),
        ("vae/config.json", {"num_decoder_blocks": [3]}, "no network can be built"),
        ("vae/config.json", {"num_decoder_blocks": [3, -1]}, "must be a whole number from 0 on"),
        ("text_encoder/config.json", {"architectures": ["T5EncoderModel"]}, "T5EncoderModel"),
        ("text_encoder/config.json", {"vocab_size": 10}, "has the shape"),
        ("text_encoder/config.json", {"hidden_size": "wide"}, "no network can be built"),
        ("scheduler/scheduler_config.json", {"_class_name": "Unheard"}, "EulerDiscreteScheduler"),
        ("scheduler/scheduler_config.json", {"prediction_type": "wish"}, "cannot do one step"),
        ("scheduler/scheduler_config.json", {"beta_schedule": "wish"}, "cannot do one step"),
    ],
)
def test_settings_that_do_not_fit(
    file: str, settings: dict[str, Any], message: str, edited: Edit
) -> None:
    refused(edited(file, **settings), message)


def test_a_scheduler_that_cannot_do_one_step(tmp_path: Path) -> None:
    scheduler = tiny_scheduler("pndm", skip_prk_steps=False, timestep_spacing="leading")
    refused(build_checkpoint(tmp_path / "it", scheduler), "PNDMScheduler.* cannot do one step")


def test_a_text_encoder_of_older_days(edited: Edit, tiny_checkpoint: Path) -> None:
    """Keys below `text_model.`, and positions stored as weights."""
    path = edited() / TEXT
    old = {f"text_model.{key}": tensor for key, tensor in load_file(path).items()}
    save_file({**old, "text_model.embeddings.position_ids": torch.arange(16)[None]}, path)
    assert torch.equal(pictures(edited()), pictures(tiny_checkpoint))


def test_an_autoencoder_of_older_days(edited: Edit, tiny_checkpoint: Path) -> None:
    path = edited() / "vae_large/diffusion_pytorch_model.safetensors"
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    whole = load_file(path)
    renamed = {}
    for key, tensor in whole.items():
        layer, _, kind = key.rpartition(".")
        name = next((name for name in old if layer.endswith(f".{name}")), "")
        renamed[f"{layer.removesuffix(name)}{old.get(name, '')}.{kind}"] = tensor
    assert renamed.keys() != whole.keys()
    save_file(renamed, path)
    assert load(edited()).decoders == ("tiny", "large")


def test_a_tokenizer_of_two_files(edited: Edit, tiny_checkpoint: Path) -> None:
    folder = edited() / "tokenizer"
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    assert torch.equal(pictures(edited()), pictures(tiny_checkpoint))
    (folder / "merges.txt").unlink()
    refused(edited(), "merges.txt is missing")


def test_a_window_that_nobody_stated(edited: Edit) -> None:
    """A tokenizer without model_max_length says 1e30: the encoder's positions count."""
    folder = edited()
    with config(folder / "tokenizer/tokenizer_config.json") as settings:
        settings.pop("model_max_length")
    assert load(folder).encode(["tree"]).states.shape == (1, 16, 32)


def test_a_tokenizer_beyond_the_embedding(edited: Edit) -> None:
    folder = edited("tokenizer/tokenizer_config.json", pad_token="<|nothing|>")
    refused(folder, "do not belong together")


def test_nothing_in_a_folder_is_run(edited: Edit, tmp_path: Path) -> None:
    folder = edited("tokenizer/tokenizer_config.json", auto_map={"AutoTokenizer": "x.X"})
    (folder / "unet" / "custom.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    custom = {"unet": ["custom", "UNet2DConditionModel"], "_class_name": ["custom", "X"]}
    refused(edited("model_index.json", **custom), "not supported")
    assert not (tmp_path / "ran").exists()


def test_the_file_may_go_after_loading(edited: Edit) -> None:
    model = load(edited())
    (edited() / UNET).write_bytes(b"")
    assert model("tree", seed=1).size == (64, 64)


def test_a_config_does_not_choose_code(edited: Edit, tiny_model: SDXS) -> None:
    """transformers would fetch an attention kernel of that name."""
    odd = {"attn_implementation": "owner/kernel", "_attn_implementation": "owner/kernel"}
    model = load(edited("text_encoder/config.json", **odd))
    assert torch.equal(model("tree", output_type="pt"), tiny_model("tree", output_type="pt"))
