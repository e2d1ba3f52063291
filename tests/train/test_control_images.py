"""Control images: as people get them, kept in a file; what sees depth in them."""

import random
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from sdxs.conditions import CONDITIONS, CONTROLS, canny
from sdxs.model.depth import DepthEstimator, DepthNetwork
from sdxs.storybook.judges.depth import DepthJudge, agreement
from sdxs.storybook.world.render import render
from sdxs.storybook.world.scenes import sample_scenes
from sdxs.storybook.world.sketches import begun, sketch, to_bytes
from sdxs.train import autoencoder
from sdxs.train.parts import control_images as module
from sdxs.train.parts.autoencoders import Autoencoder
from sdxs.train.parts.control_images import control_images, depth_network, extractor
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import fast, placed

SIDE = 64


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return to_bytes(render(sample_scenes(1, 3), SIDE).picture)[0]


def test_canny_is_what_people_get(picture: np.ndarray) -> None:
    theirs = np.asarray(canny(Image.fromarray(picture), (SIDE, SIDE)))[..., 0]
    assert (extractor("canny")(picture, random.Random(0)) == theirs).all()


def test_depth_is_what_people_get(picture: np.ndarray) -> None:
    torch.manual_seed(0)
    sees = DepthEstimator(DepthNetwork((8, 8)).eval(), torch.device("cpu"))
    wanted = CONDITIONS["depth"].make(Image.fromarray(picture), (SIDE, SIDE), network=sees)
    assert (extractor("depth", sees)(picture, random.Random(0)) == np.asarray(wanted)[..., 0]).all()


def test_a_sketch_is_loose_but_lies_on_the_contours() -> None:
    picture = to_bytes(render(sample_scenes(1, 3), 128).picture)[0]
    sketches = [sketch(picture, random.Random(seed)) for seed in range(8)]
    assert all(0.005 < (drawn > 127).mean() < 0.35 for drawn in sketches)
    assert len({drawn.tobytes() for drawn in sketches}) == 8  # each is drawn otherwise
    assert (sketch(picture, random.Random(3)) == sketches[3]).all()
    edges = cv2.Canny(cv2.GaussianBlur(picture, (3, 3), 0), 20, 60)
    near = cv2.dilate(edges, np.ones((11, 11), np.uint8)) > 0
    for drawn in sketches:
        assert (near & (drawn > 127)).sum() > 0.9 * (drawn > 127).sum()


@pytest.mark.parametrize("control", [name for name in CONTROLS if name != "depth"])
def test_control_images_are_made_once(control: str, tmp_path: Path, monkeypatch, vae) -> None:
    latents = torch.randn(3, 4, 8, 8)
    made = control_images(tmp_path, control, latents, Autoencoder(vae), 1)
    assert made.images.shape == (3, SIDE, SIDE) and made.images.dtype == torch.uint8
    assert made.by == "" and made.seconds > 0
    np.load(tmp_path / "controls.npy", mmap_mode="r+")[1, 2, 3] = 77
    assert made.images[1, 2, 3] == 77  # which is read from the file
    extracts = "sdxs.train.parts.control_images.extractor"
    monkeypatch.setattr(extracts, lambda *_: pytest.fail("made again"))
    again = control_images(tmp_path, control, latents, Autoencoder(vae), 1)
    assert torch.equal(made.images, again.images)
    other = autoencoder.build(12)
    for changed in (
        (control, latents, vae, 2), (control, latents + 0.1, vae, 1), (control, latents, other, 1),
        ("canny" if control == "sketch" else "sketch", latents, vae, 1),
    ):  # fmt: skip
        with pytest.raises(pytest.fail.Exception):
            kind, shown, by, seed = changed
            control_images(tmp_path, kind, shown, Autoencoder(by), seed)


def test_control_images_of_any_number_are_of_what_the_latents_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vae
) -> None:
    monkeypatch.setattr(module, "CHUNK", 2)
    latents = torch.randn(5, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    vae.decoder.layers[-1].weight.data *= 100  # no blank pictures
    ours, shown = Autoencoder(vae), Autoencoder(vae).placed()
    for control in ("sketch", "canny"):
        found = control_images(tmp_path, control, latents, ours, 1).images
        extract, wanted = extractor(control), []
        for i in range(0, 5, 2):
            with fast(), torch.no_grad():
                pages = to_bytes(shown.decode(placed(latents[i : i + 2])))
            wanted += [
                extract(page, random.Random(f"1/{i + row}")) for row, page in enumerate(pages)
            ]
        other = latents.clone()
        other[4] += 1
        again = control_images(tmp_path, control, other, ours, 1).images
        assert np.array_equal(found.numpy(), np.stack(wanted)) and found.any((1, 2)).all()
        assert torch.equal(again[:4], found[:4]) and not torch.equal(again[4], found[4])


def test_depth_is_seen_by_the_network_that_was_given(tmp_path: Path, vae) -> None:
    latents = torch.randn(2, 4, 8, 8)
    vae.decoder.layers[-1].weight.data *= 100  # no blank pictures
    made = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        folder = tmp_path / f"depth-{seed}"
        DepthNetwork((8, 8)).save_pretrained(folder / "depth")
        stage.finish(folder, "depth", 0, kind="network")
        sees = depth_network("depth", folder)
        made.append(control_images(tmp_path / "c", "depth", latents, Autoencoder(vae), 1, sees))
    assert made[0].by != made[1].by and not torch.equal(made[0].images, made[1].images)
    (tmp_path / "full").mkdir()
    stage.finish(tmp_path / "full", "control", 0, drawn_by=made[1].by)
    assert depth_network("depth", folder, tmp_path / "full")
    assert depth_network("canny", None) is None
    stage.finish(folder, "depth", 0, kind="judge")
    for given, why in (
        ((tmp_path / "depth-1", tmp_path / "full"), "made with another network"),
        ((folder,), "is a judge"),
        ((None,), "needs --depth"),
    ):
        with pytest.raises(loop.TrainingError, match=why):
            depth_network("depth", *given)


def test_agreement_is_pearsons() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(5, 1, 9, 7, generator=generator) for _ in range(2))
    ours = agreement(a, b)
    wanted = [np.corrcoef(x.flatten(), y.flatten())[0, 1] for x, y in zip(a, b, strict=True)]
    assert ours.numpy() == pytest.approx(np.array(wanted), abs=1e-9)
    assert agreement(3 * a - 2, a).numpy() == pytest.approx(np.ones(5))
    assert agreement(torch.zeros_like(a), b).abs().max() == 0


def test_the_judge_is_read_as_it_was_written(tmp_path: Path) -> None:
    torch.manual_seed(0)
    judge = DepthJudge().eval()
    judge.save_pretrained(tmp_path)
    x = torch.rand(2, 3, SIDE, SIDE) * 2 - 1
    with torch.no_grad():
        assert torch.equal(DepthJudge.load(tmp_path)(x), judge(x))
        assert judge(x).shape == (2, 1, SIDE, SIDE)


@pytest.mark.parametrize("made", ["sketch", "begun"])
def test_lines_grow_along_with_the_picture(made: str) -> None:
    """Of the same scenes at twice the size, as much of the page is light."""
    scenes, light = sample_scenes(12, 5), {}
    for size in (128, 256):
        drawn = render(scenes, size)
        pages = []
        for row, picture in enumerate(to_bytes(drawn.picture)):
            rng, seen = random.Random(row), drawn.seen[row].numpy()
            pages.append(
                sketch(picture, rng) if made == "sketch"
                else begun(picture, seen, scenes[row].horizon, rng)
            )  # fmt: skip
        light[size] = np.stack(pages).mean()
    assert 0.75 < light[256] / light[128] < 1.35, light
