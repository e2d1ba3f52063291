"""Every stage of pictures, stopped and resumed, ends as one never stopped."""

from pathlib import Path

import torch

from sdxs.storybook import draw
from sdxs.train import autoencoder, depth, encoders, evaluator, teacher, text
from sdxs.train.run import stage
from tests.train.resumed import FEW, SOME, Resumes, refused, weights


def test_stages_of_pictures_resume(resumes: Resumes) -> None:
    some = {"held_out": 4, **SOME}
    vae = resumes("v", autoencoder, width=12, **some)
    keep = {"keep_latents": True, **some}
    refused("--keep-latents needs --begin", autoencoder, vae / "k", **keep)
    kept = resumes("k", autoencoder, begin=vae, **keep)
    before, after = weights(vae, "vae"), weights(kept, "vae")
    moved = {key.partition(".")[0] for key in before if not torch.equal(before[key], after[key])}
    assert moved == {"decoder"}
    artists = resumes("h", autoencoder, begin=vae, artists=2, **keep)
    before, after = weights(vae, "vae"), weights(artists, "vae")
    assert not any(torch.equal(before[name], after[name]) for name in before)
    assert stage.read(artists)["psnr_anime"] > 0
    resumes("x", text, preset="toy", **FEW)
    resumes("c", encoders, autoencoder=vae, kind="vit", **SOME)
    resumes("n", depth, kind="network", **some)
    resumes("j", depth, kind="judge", **some)
    judges = {"autoencoder": vae, "held_out": 2, **SOME}
    resumes("e", evaluator, **judges)
    styled = resumes("s", evaluator, artists=True, **{**judges, "pictures": 24})
    assert {"plain_attribute_accuracy", "anime_artist", "woodcut_iou"} <= stage.read(styled).keys()


def test_stages_of_a_folders_pictures_resume(resumes: Resumes, tmp_path: Path) -> None:
    folder = tmp_path / "drawn"
    draw.draw(folder, None, 3, 1, 64)
    data = {"data": folder, **FEW}
    vae = resumes("v", autoencoder, width=12, resolution=64, **data)
    words = resumes("x", text, preset="toy", **data)
    model = {"autoencoder": vae, "text": words, "preset": "toy", "layout": "sdxs", **data}
    resumes("t", teacher, resolution=64, **model)
    assert stage.read(vae)["pictures"] == 3 and stage.read(vae)["psnr"] > 0
    refused("artists redraw renders, not --data", autoencoder, vae, artists=2, **data)
    (folder / "00000.png").unlink()
    refused("was begun with data=", text, words, preset="toy", **data)
