"""Real pictures of a folder: encoded as they are read, told from others, drawn with captions."""

from pathlib import Path

import datasets
import pytest
import torch
from PIL import Image
from tiny import build_multistep

from sdxs.picture import read_picture, to_rgb
from sdxs.train.parts import real
from sdxs.train.parts.autoencoders import Autoencoder, encoded
from sdxs.train.parts.folder import read_folder
from sdxs.train.parts.real import encode_pictures
from sdxs.train.run.loop import TrainingError

pytestmark = pytest.mark.usefixtures("tables")

COLOURS = ("red", "green", "blue", "white", "black")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "pictures"
    made.mkdir()
    for number, colour in enumerate(COLOURS):
        Image.new("RGB", (80 + number, 70), colour).save(made / f"{number}.png")
        (made / f"{number}.txt").write_text(f"all {colour}")
    return made


@pytest.fixture
def vae(tmp_path: Path) -> Autoencoder:
    """One with a mean and a deviation, and a scale."""
    return Autoencoder.load(build_multistep(tmp_path / "kl", "sd15"))


def test_they_are_read_a_few_at_a_time(
    folder: Path, vae: Autoencoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    monkeypatch.setattr(real, "FEW", 2)
    monkeypatch.setattr(
        real, "read_picture", lambda path: opened.append(path) or read_picture(path)
    )

    def seen(vae: Autoencoder, pixels: torch.Tensor) -> torch.Tensor:
        assert len(pixels) <= 2 and pixels.shape[1:] == (3, 64, 64)
        return encoded(vae, pixels)

    monkeypatch.setattr(real, "encoded", seen)
    ours = encode_pictures(tmp_path / "run", vae, str(folder), 64)
    pixels, captions = read_folder(folder, 64)
    torch.testing.assert_close(ours.latents.float(), encoded(vae, pixels), atol=2e-3, rtol=2e-3)
    assert ours.captions == captions and len(opened) == 5 and ours.facts["real"]["count"] == 5
    again = encode_pictures(tmp_path / "run", vae, str(folder), 64)
    assert torch.equal(again.latents, ours.latents) and len(opened) == 5
    assert again.facts == ours.facts


def test_a_picture_keeps_its_caption(folder: Path, vae: Autoencoder, tmp_path: Path) -> None:
    ours = encode_pictures(tmp_path / "run", vae, str(folder), 64)
    some = ours.draw(40, torch.Generator().manual_seed(0))
    assert set(some.texts) == {f"all {colour}" for colour in COLOURS}
    for latents, text in zip(some.real, some.texts, strict=True):
        place = ours.captions.index(text)
        assert torch.equal(latents, ours.latents[place].float())


def test_another_caption_or_picture_makes_another_set(
    folder: Path, vae: Autoencoder, tmp_path: Path
) -> None:
    found = [encode_pictures(tmp_path / "run", vae, str(folder), 64)]
    (folder / "0.txt").write_text("quite red")
    found.append(encode_pictures(tmp_path / "run", vae, str(folder), 64))
    Image.effect_noise((80, 70), 50).save(folder / "0.png")
    assert to_rgb(read_picture(folder / "0.png")).size == (80, 70)
    found.append(encode_pictures(tmp_path / "run", vae, str(folder), 64))
    assert len({each.facts["real"]["fingerprint"] for each in found}) == 3
    assert not torch.equal(found[2].latents, found[1].latents)


@pytest.mark.parametrize("embedded", [True, False])
def test_a_table_gives_what_a_folder_does(
    embedded: bool, folder: Path, vae: Autoencoder, tmp_path: Path
) -> None:
    """As `datasets` writes them to a parquet file; blank captions are left out."""
    rows, first = read_folder(folder, 64)[1], folder / "0.png"
    kinds = datasets.Features({"image": datasets.Image(), "caption": datasets.Value("string")})

    def write(name: str) -> None:
        paths = [folder / f"{number}.png" for number in range(len(rows))]
        some = [path.read_bytes() if embedded else str(path) for path in [*paths, first]]
        told = {"image": some, "caption": [*rows, " "]}
        datasets.Dataset.from_dict(told, kinds).to_parquet(tmp_path / name)

    write("set.parquet")
    ours = encode_pictures(tmp_path / "run", vae, str(tmp_path / "set.parquet"), 64)
    wanted = encode_pictures(tmp_path / "other", vae, str(folder), 64)
    assert torch.equal(ours.latents, wanted.latents) and ours.captions == wanted.captions
    Image.effect_noise((80, 70), 50).save(first)
    write("new.parquet")
    other = encode_pictures(tmp_path / "run", vae, f"{tmp_path / 'new.parquet'}:caption", 64)
    assert other.facts["real"]["fingerprint"] != ours.facts["real"]["fingerprint"]
    assert not torch.equal(other.latents, ours.latents)


def test_what_is_no_source_is_named(vae: Autoencoder, tmp_path: Path) -> None:
    (tmp_path / "words.csv").write_text("text\nred\n")
    for source, why in (
        ("words.csv", "words.csv has 0 fields of pictures, text: one is needed"),
        ("none.parquet", "there is no folder .*none.parquet, and as a table: there is no file"),
        (".", "holds no picture"),
    ):
        with pytest.raises(TrainingError, match=why):
            encode_pictures(tmp_path / "run", vae, str(tmp_path / source), 64)
