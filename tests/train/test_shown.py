"""Readers of pictures: a cell's pixels whatever the decoder's size, and what a reward sees."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from sdxs.train.autoencoder import build
from sdxs.train.parts import annotated
from sdxs.train.parts.reading import Reader
from sdxs.train.parts.shown import CELL, NOISE, PATCH, Shown, open_reader, patches, pictures_of


@pytest.mark.parametrize("scale", [1, 2])
def test_a_cell_is_read_by_its_own_pixels(scale: int) -> None:
    small = torch.randn(2, 3, 4 * CELL, 4 * CELL)
    large = small.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    cells = patches(large, 4)
    assert cells.shape == (2, PATCH, 4, 4)
    torch.testing.assert_close(F.pixel_shuffle(cells, CELL), small)
    changed = large.clone()
    changed[:, :, : CELL * scale, CELL * scale : 2 * CELL * scale] += 1
    moved = (patches(changed, 4) != cells).any(1).nonzero()[:, 1:].unique(dim=0)
    assert moved.tolist() == [[0, 1]]


def test_either_kind_is_opened_and_pulls_at_the_latents(tmp_path: Path) -> None:
    torch.manual_seed(0)
    Reader(16).save(tmp_path / "latents/reader")
    Reader(16, PATCH).save(tmp_path / "pictures/reader")
    vae = build(12)
    torch.nn.init.constant_(vae.decoder.layers[-1].bias, 0.5)  # grey, not black beyond black
    vae.save_pretrained(tmp_path / "pictures/vae")
    for name, kind in (("latents", Reader), ("pictures", Shown)):
        reader = open_reader(tmp_path / name)
        assert isinstance(reader, kind)
        assert not any(part.requires_grad for part in reader.parameters())
        z = torch.randn(2, 4, 8, 8, requires_grad=True)
        reading = reader(z)
        assert reading.kinds.shape[2:] == (8, 8)
        (pull,) = torch.autograd.grad(reading.counts.sum(), z)
        assert (pull != 0).any(dim=(1, 2, 3)).all()
        maps = reader.features(z.detach())
        assert [each.shape[1] for each in maps] == list(reader.sizes)


def test_pictures_are_of_the_latents_and_of_a_little_noise(tmp_path: Path) -> None:
    torch.manual_seed(0)
    vae = build(12).eval()
    torch.nn.init.constant_(vae.decoder.layers[-1].bias, 0.5)
    drawn = [annotated.draw(vae, annotated.doubled(count, 2), 64) for count in (3, 2)]
    made, _ = pictures_of(tmp_path, vae, drawn, 1)
    assert [len(part) for part in made] == [3, 2] and made[0].dtype == torch.uint8
    z = drawn[0].latents.float()
    with torch.no_grad():
        plain, rough = (vae.decoder(z + by * torch.randn(z.shape)) for by in (0, NOISE))
    off = (made[0].float() / 127.5 - 1 - plain.clamp(-1, 1)).abs().mean()
    assert 0 < off < (rough.clamp(-1, 1) - plain.clamp(-1, 1)).abs().mean() + 0.01  # of bytes
    assert off < 0.2 * plain.clamp(-1, 1).abs().mean()
    again, _ = pictures_of(tmp_path, vae, drawn, 1)
    assert all(map(torch.equal, made, again))
