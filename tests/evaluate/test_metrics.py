"""FID against scipy's matrix root, CLIP score against CLIP's own logits."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.linalg import sqrtm
from tiny import noisy_images
from torch import nn
from transformers import AutoProcessor, CLIPModel

from sdxs.errors import InputError
from sdxs.evaluate.metrics import FID, CLIPScore, pictures_in, tensor
from sdxs.picture import to_pictures

CPU = torch.device("cpu")
PROMPTS = ["a red house", "a big green tree at night", "a blue ball at sunset " * 9]


def painted(folder: Path, count: int = 10, seed: int = 2, side: int = 64) -> list[Path]:
    files = []
    for i, picture in enumerate(to_pictures(noisy_images(count, seed))):
        files.append(folder / f"{side}-{seed}-{i}.png")
        picture.resize((side, side)).save(files[-1])
    return files


def closed_form(features: nn.Module, real: list[Any], fake: list[Any]) -> float:
    """|m - n|^2 + tr(A + B - 2 (AB)^1/2), by scipy."""
    found = [features(tensor(pictures)).double().detach().numpy() for pictures in (real, fake)]
    m, n = (rows.mean(0) for rows in found)
    a, b = (np.cov(rows, rowvar=False) for rows in found)
    return float(np.square(m - n).sum() + np.trace(a + b - 2 * sqrtm(a @ b).real))


def test_fid_is_the_frechet_distance(real: Path, features: nn.Module, tmp_path: Path) -> None:
    files, fake = pictures_in(real), painted(tmp_path)
    wanted = closed_form(features, [Image.open(f) for f in files], [Image.open(f) for f in fake])
    fid = FID(files, CPU, features=features)
    assert wanted > 0.01 and fid(fake) == pytest.approx(wanted, rel=1e-4)
    assert fid(files) == pytest.approx(0, abs=1e-6)


def test_real_pictures_take_the_size_of_the_painted_ones(
    real: Path, features: nn.Module, tmp_path: Path
) -> None:
    """Of one model after another, in any order."""
    files = pictures_in(real)
    fid = FID(files, CPU, features=features)
    small, large = painted(tmp_path, side=32), painted(tmp_path, seed=3)
    first = fid(small), fid(large), fid(small)
    assert first[0] == first[2] != first[1]
    scaled = [Image.open(file).resize((32, 32), Image.Resampling.LANCZOS) for file in files]
    wanted = closed_form(features, scaled, [Image.open(file) for file in small])
    assert first[0] == pytest.approx(wanted, rel=1e-4)


def test_a_wide_picture_loses_its_sides(real: Path, features: nn.Module, tmp_path: Path) -> None:
    fake = painted(tmp_path)
    for file in pictures_in(real):
        wide = Image.new("RGB", (96, 64), "red")
        wide.paste(Image.open(file), (16, 0))
        wide.save(tmp_path / f"wide-{file.name}")
    wide_ones = sorted(tmp_path.glob("wide-*"))
    wanted = FID(pictures_in(real), CPU, features=features)(fake)
    assert FID(wide_ones, CPU, features=features)(fake) == pytest.approx(wanted, rel=1e-6)


def test_inception_is_loaded_from_a_file(real: Path, tmp_path: Path) -> None:
    """torch-fidelity's, with random weights; it is in the extra `evaluate` alone."""
    inception = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    torch.manual_seed(0)
    given: dict[str, Any] = {}

    class Empty(inception.FeatureExtractorInceptionV3):  # type: ignore[name-defined,misc]
        def load_state_dict(self, state: Any, *_: Any) -> None:
            given.update(self.state_dict())

    blank = tmp_path / "blank.pth"
    torch.save({}, blank)
    Empty("inception-v3-compat", ["2048"], str(blank))
    torch.save(given, tmp_path / "inception.pth")
    files, fake = pictures_in(real)[:3], painted(tmp_path, 3)
    fid = FID(files, CPU, tmp_path / "inception.pth")
    assert np.isfinite(fid(fake)) and fid(files) == pytest.approx(0, abs=1e-3)


def test_clip_score_is_the_cosine(real: Path, tiny_clip: Path) -> None:
    files = pictures_in(real)[: len(PROMPTS)]
    network, processor = (
        kind.from_pretrained(tiny_clip) for kind in (CLIPModel, AutoProcessor)
    )  # fmt: skip
    asked = processor(
        text=PROMPTS, images=[Image.open(file) for file in files], return_tensors="pt",
        padding=True, truncation=True,
    )  # fmt: skip
    with torch.no_grad():
        logits = network(**asked).logits_per_image.diagonal() / network.logit_scale.exp()
    assert logits.min() < 0 < logits.max()  # both sides of the bound
    wanted = float(100 * logits.clamp(min=0).mean())
    assert CLIPScore(str(tiny_clip), CPU)(files, PROMPTS) == pytest.approx(wanted, rel=1e-4)


def test_mistakes(
    real: Path, tmp_path: Path, features: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = pictures_in(real)
    with pytest.raises(InputError, match="there is no folder"):
        pictures_in(tmp_path / "absent")
    with pytest.raises(InputError, match="holds 0 pictures"):
        pictures_in(tmp_path)
    with pytest.raises(InputError, match="--clip none"):
        CLIPScore(str(tmp_path / "nowhere"), CPU)
    (tmp_path / "torn.png").write_bytes(files[0].read_bytes()[:50])
    with pytest.raises(InputError, match=r"torn.png is no picture"):
        FID([tmp_path / "torn.png"], CPU, features=features)(files)
    monkeypatch.setitem(sys.modules, "torchmetrics.image.fid", None)
    with pytest.raises(InputError, match=r"pip install -e '.\[evaluate\]'"):
        FID(files, CPU)


def test_weights_that_are_not_there(real: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch_fidelity")
    monkeypatch.setenv("TORCH_HOME", str(real / "nothing"))
    with pytest.raises(InputError, match="--inception"):
        FID(pictures_in(real), CPU)
