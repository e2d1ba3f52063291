"""Networks that see depth: our own kind, and Depth Anything as transformers computes it."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from depths import build_dpt, enlarged
from edits import config
from PIL import Image
from tiny import build_control, load

from sdxs import CheckpointError
from sdxs.checkpoint.depth import load_depth
from sdxs.conditions import condition
from sdxs.model.depth import DepthEstimator, DepthNetwork

CPU = torch.device("cpu")


def build_depth(folder: Path, **settings: Any) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        DepthNetwork(**{"widths": (8, 8, 16), **settings}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def anything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Depth Anything's layout, tiny and random."""
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

    folder = tmp_path_factory.mktemp("depth") / "anything"
    backbone = Dinov2Config(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, image_size=56, patch_size=14,
        out_indices=[1, 2, 3, 4], reshape_hidden_states=False, apply_layernorm=True,
    )  # fmt: skip
    config = DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=32, neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=16, head_hidden_size=8, patch_size=14,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = DepthAnythingForDepthEstimation(config)
        enlarged(network).save_pretrained(folder)
    return folder


def noise(size: tuple[int, int]) -> Image.Image:
    rng = np.random.default_rng(0)
    rough = Image.fromarray(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8))
    return rough.resize(size, Image.Resampling.BICUBIC)


@pytest.mark.parametrize("size", [(128, 128), (300, 200), (40, 90)])
def test_depth_anything_equals_transformers(anything: Path, size: tuple[int, int]) -> None:
    from transformers import DepthAnythingForDepthEstimation
    from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil

    picture = noise(size)
    processor = DPTImageProcessorPil(
        size={"height": 56, "width": 56}, keep_aspect_ratio=True, ensure_multiple_of=14,
        resample=3, image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225],
    )  # fmt: skip
    pixels = processor(picture, return_tensors="pt").pixel_values
    with torch.no_grad():
        theirs = DepthAnythingForDepthEstimation.from_pretrained(anything)(pixels).predicted_depth
    theirs = torch.nn.functional.interpolate(theirs[None], size[::-1], mode="bicubic")[0, 0]
    ours = load_depth(anything, CPU)(picture)
    assert ours.shape == size[::-1] and ours.std() > 0
    assert np.abs(ours - theirs.numpy()).max() < 1e-4


def test_our_own(tmp_path: Path) -> None:
    sight = load_depth(build_depth(tmp_path), CPU)
    for size in ((64, 64), (50, 30), (9, 8)):
        near = sight(noise(size))
        assert near.shape == size[::-1] and near.dtype == np.float32 and near.std() > 0


def test_a_model_sees_depth(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: Any) -> None:
    control = build_control(tmp_path / "depth-control")
    build_depth(tmp_path / "weights/depth")
    shutil.copytree(tiny_checkpoint, tmp_path / "weights/storybook")
    monkeypatch.setenv("SDXS_WEIGHTS", str(tmp_path / "weights"))
    model = load("storybook", controls={"near": control})
    seen = model.condition("depth", noise((90, 70)))
    assert seen.size == model.size and seen.getextrema()[0] == (0, 255)
    assert model("tree", control="near", control_image=seen).size == model.size
    (tmp_path / "weights/depth/config.json").unlink()  # it was loaded once, and is kept
    assert model.condition("depth", noise((90, 70))).tobytes() == seen.tobytes()
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        load("storybook").condition("depth", noise((90, 70)))


def test_other_checkpoints_ask_the_hub(tiny_checkpoint: Path, monkeypatch: Any) -> None:
    asked = []
    asks = "sdxs.checkpoint.find.repository"
    monkeypatch.setattr(asks, lambda name, *_: asked.append(name) or Path("none"))
    model = load(tiny_checkpoint)
    with pytest.raises(CheckpointError, match="config"):
        model.condition("depth", noise((90, 70)))
    assert asked == ["depth-anything/Depth-Anything-V2-Small-hf"]


def test_damaged_ones(anything: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        load_depth(tmp_path, CPU)
    for change, message in [
        ({"widths": [8, 8, 24]}, "shape"),
        ({"widths": [10**7, 8]}, "widths"),
        ({"widths": "wide"}, "no network can be built"),
        ({"_class_name": "os.system"}, "no network of this kind"),
    ]:
        folder = build_depth(tmp_path / "own")
        with config(folder / "config.json") as settings:
            settings |= change
        with pytest.raises(CheckpointError, match=message):
            load_depth(folder, CPU)
    assert isinstance(load_depth(anything, CPU), DepthEstimator)


@pytest.mark.parametrize("kind", ["dpt", "hybrid", "anything"])
def test_the_networks_of_others_see_as_transformers_pipeline_does(
    kind: str, anything: Path, tmp_path: Path
) -> None:
    """And as their own settings say that pictures are prepared."""
    from transformers import pipeline
    from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil

    if kind == "anything":
        shutil.copytree(anything, tmp_path, dirs_exist_ok=True)
        sides = {"size": {"height": 56, "width": 56}, "image_mean": [0.2, 0.3, 0.4]}
        DPTImageProcessorPil(**sides, ensure_multiple_of=14).save_pretrained(tmp_path)
    else:
        build_dpt(tmp_path, kind == "hybrid")
    picture = noise((60, 44))
    theirs = pipeline("depth-estimation", model=str(tmp_path), device="cpu")(picture)
    ours = load_depth(tmp_path, CPU)(picture)
    assert ours.shape == (44, 60) and np.ptp(ours) > 1e-6
    gap = np.abs(ours - theirs["predicted_depth"].numpy())
    assert gap.max() < 1e-4 * np.ptp(ours)
    shown = np.asarray(condition("depth", picture, picture.size, network=load_depth(tmp_path, CPU)))
    gap = np.abs(shown[..., 0].astype(int) - np.asarray(theirs["depth"]))
    assert gap.max() <= 1  # near is bright, and the picture fills its range


def test_metres_become_nearness(anything: Path, tmp_path: Path) -> None:
    shutil.copytree(anything, tmp_path, dirs_exist_ok=True)
    with config(tmp_path / "config.json") as settings:
        settings |= {"depth_estimation_type": "metric", "max_depth": 20}
    sees, picture = load_depth(tmp_path, CPU), noise((56, 56))
    near, said = sees(picture), []
    sees.network.register_forward_hook(lambda *given: said.append(given[2].predicted_depth[0]))
    assert (sees(picture) == near).all()
    metres = said[0].numpy()
    assert metres.min() < 0.1 < 10 < metres.max()
    np.testing.assert_allclose(near, 1 / metres.clip(0.1), rtol=1e-5)


def test_what_cannot_be_used_of_others(tmp_path: Path) -> None:
    folder = build_dpt(tmp_path / "dpt")
    with config(folder / "preprocessor_config.json") as settings:
        settings |= {"size": {"height": 10**6, "width": 32}}
    with pytest.raises(CheckpointError, match="height is beyond"):
        load_depth(folder, CPU)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"preprocessor_config\.json is missing"):
        load_depth(folder, CPU)
