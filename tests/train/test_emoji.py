"""Emoji of a package: fetched, learnt by the recipe at toy size, looked for in what it paints."""

import io
import json
import os
import random
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from sdxs import SDXS
from sdxs.storybook.judges.sheets import HEADS, MARGIN
from sdxs.train import emoji, nearest, recipe
from sdxs.train.parts import latents
from sdxs.train.parts.folder import read_folder
from sdxs.train.parts.prompts import open_prompts
from sdxs.train.parts.renders import to_unit
from sdxs.train.parts.vocabulary import Vocabulary, fewer, words_of
from sdxs.train.run import loop, stage

pytestmark = pytest.mark.usefixtures("tables")

NAMES = {
    "RED APPLE": "Food & Drink", "HOT DOG": "Food & Drink", "TEA-POT": "Food & Drink",
    "BEER MUG": "Food & Drink", "Norway Flag": "Flags",
}  # fmt: skip
COLOURS = ("red", "orange", "gold", "green", "navy")


def png(colour: str) -> bytes:
    """A picture that is mostly clear, as emoji are."""
    picture, file = Image.new("RGBA", (64, 64)), io.BytesIO()
    picture.paste(colour, (16, 8, 48, 56))
    picture.save(file, "png")
    return file.getvalue()


def pack(file: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(file, "w:gz") as members:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            members.addfile(info, io.BytesIO(content))
    return file


def listed(**more: Any) -> bytes:
    rows = [
        {"name": name, "image": f"1f{number}.png", "category": category, "sheet_x": 0, **more}
        for number, (name, category) in enumerate(NAMES.items())
    ]
    return json.dumps([*rows, {**rows[0], "image": "gone.png"}]).encode()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As npm packs the real one; one emoji has no picture in it."""
    pictures = {
        f"package/img/google/64/1f{number}.png": png(colour)
        for number, colour in enumerate(COLOURS)
    }
    others = {"package/README.md": b"of whom", "package/LICENSE": b"MIT", "../outside.png": b"",
              "package/img/google/sheets/32.png": png("red")}  # fmt: skip
    folder = tmp_path_factory.mktemp("archive")
    return pack(folder / "emoji-1.tgz", {**pictures, "package/emoji.json": listed(), **others})


def test_pictures_lie_beside_their_names(archive: Path, tmp_path: Path) -> None:
    run = tmp_path / "emoji"
    emoji.main(["--run", str(run), "--package", str(archive)])
    pictures, captions = read_folder(run, 64)
    assert captions == [name.lower() for name in NAMES]
    assert pictures[3, :, 0, 0].tolist() == [255] * 3 and pictures[3, :, 32, 32].tolist() == [
        0,
        128,
        0,
    ]
    assert (run / "LICENSE").read_bytes() == b"MIT" and not (tmp_path / "outside.png").exists()
    assert stage.read(run)["pictures"] == 5
    emoji.main(["--run", str(run), "--package", str(archive), "--categories", "Flags"])
    assert read_folder(run, 64)[1] == ["norway flag"]
    whole, alone = open_prompts(str(run)), open_prompts(f"{run}/metadata.jsonl:text")
    assert whole.facts == alone.facts and whole.facts["count"] == 1


def npm(folder: Path, script: str) -> str:
    """A PATH on which npm is a script."""
    (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "npm").chmod(0o755)
    return f"{folder}{os.pathsep}/bin{os.pathsep}/usr/bin"


def test_npm_fetches_the_package(archive: Path, tmp_path: Path, monkeypatch) -> None:
    script = f'test "$*" = "pack --pack-destination $PWD -- emoji@1" && cp {archive} "$3"'
    monkeypatch.setenv("PATH", npm(tmp_path, script))
    emoji.main(["--run", str(tmp_path / "run"), "--package", "emoji@1"])
    assert stage.read(tmp_path / "run")["package"] == "emoji@1"


def test_what_npm_says_is_told(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", npm(tmp_path, "echo npm error 404 Not Found >&2; exit 1"))
    asked = emoji.Options(run=tmp_path / "run", package="emoji@1")
    with pytest.raises(loop.TrainingError, match=r"npm cannot fetch emoji@1 \(404 Not Found\): "):
        emoji.fetch(asked)
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    with pytest.raises(loop.TrainingError, match=r"not on this machine: install it .*apt-get"):
        emoji.fetch(asked)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (None, "cannot be read"),
        ({"package/emoji.json": b"[3"}, "cannot be read"),
        ({"package/emoji.json": b"[{}]"}, "cannot be read"),
        ({"package/emoji.json": listed()}, "holds no emoji"),
        ({"package/index.js": b""}, "holds no emoji"),
    ],
)
def test_another_package_is_named(files: Any, said: str, tmp_path: Path, ran) -> None:
    file = tmp_path / "other.tgz"
    if files is None:
        file.write_bytes(b"no archive")
    else:
        pack(file, files)
    with pytest.raises(
        loop.TrainingError, match=rf"^{file} {said}.*emoji-datasource-google"
    ) as error:
        emoji.fetch(emoji.Options(run=tmp_path / "run", package=str(file)))
    assert "\n" not in str(error.value) and str(file) in str(error.value)


def test_an_unknown_category_is_named(archive: Path, tmp_path: Path) -> None:
    asked = emoji.Options(run=tmp_path, package=str(archive), categories=["Flag"])
    with pytest.raises(loop.TrainingError, match=r"did you mean Flags\? There is Flags, Food"):
        emoji.fetch(asked)


@pytest.fixture(scope="module")
def root(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole recipe, past gates that a toy cannot pass."""
    folder = tmp_path_factory.mktemp("recipe")
    recipe.main(["emoji", "--preset", "toy", "--past-gates", "--run", str(folder),
                 "--set", f"package={archive}"])  # fmt: skip
    return folder


def test_the_recipe_leads_to_a_checkpoint_that_paints(root: Path) -> None:
    model = SDXS.load(str(root / "checkpoint"))
    assert model.size == (64, 64) and model("hot dog", seed=1) != model("hot dog", seed=2)
    assert {"pictures": 4, "segment": 0}.items() <= stage.read(root / "teacher").items()
    assert set(stage.read(root / "nearest")["models"]) == {"teacher", "warmup", "distill"}
    rows = recipe.recipe_file.read(recipe.recipe_file.find("emoji")).constants["captions"]
    page = Image.open(root / "nearest/sheet.png")
    assert page.height == HEADS + MARGIN + len(rows) * (64 + MARGIN)


def test_a_copy_is_found(root: Path, tmp_path: Path, monkeypatch) -> None:
    """Of painters that know pictures by heart: each its own, or always the last."""
    pictures, captions = read_folder(root / "emoji", 64)
    asked = nearest.Options(
        run=tmp_path, models=(root / "distill",), autoencoder=root / "autoencoder",
        data=root / "emoji", captions=["hot dog", "no such dog"],
    )  # fmt: skip
    for place, own in ((captions.index, 1.0), (lambda _: 3, 0.25)):

        def paint(texts: list[str], seeds: list[int], place: Any = place) -> torch.Tensor:
            known = [place(text) if text in captions else 2 for text in texts]
            return to_unit(pictures[known]) - 0.02

        monkeypatch.setattr(nearest, "painter", lambda *_, paint=paint: paint)
        nearest.show(asked)
        found = stage.read(tmp_path)
        assert found["models"]["distill"]["own"] == own and found["painted"] == 4
        assert found["models"]["distill"]["distance"] < 0.011 < found["apart"]
    page, at = Image.open(tmp_path / "sheet.png"), HEADS + MARGIN
    row = [page.crop((96 + 70 * n, at, 160 + 70 * n, at + 64)) for n in range(3)]
    assert row[0].getpixel((32, 32)) == (255, 165, 0) and row[2].getpixel((32, 32)) == (0, 128, 0)


def test_distances_are_root_mean_squares() -> None:
    black, grey = -torch.ones(1, 3, 128, 128), torch.zeros(1, 3, 128, 128)
    away = torch.cdist(nearest.compared(black), nearest.compared(grey))
    torch.testing.assert_close(away, torch.tensor([[0.5]]), atol=1e-4, rtol=0)
    other = grey.clone()
    other[:, 0, :32] = 1
    wanted = (0.5**2 / 3 / 4) ** 0.5
    away = torch.cdist(nearest.compared(other), nearest.compared(grey))
    torch.testing.assert_close(away, torch.tensor([[wanted]]), atol=1e-4, rtol=0)


def test_latents_stay_with_their_captions(root: Path, vae) -> None:
    data = latents.encode_pictures(root / "emoji", vae, 64)
    pictures, captions = read_folder(root / "emoji", 64)
    with torch.no_grad():
        wanted = vae.encoder(to_unit(pictures))
    torch.testing.assert_close(data.latents, wanted, atol=2e-2, rtol=2e-2)  # bfloat16
    x0, texts = data.batch(40, loop.chance(0, 0))
    for z, text in zip(x0, texts, strict=True):
        assert torch.equal(z, data.latents[captions.index(text)])
    assert len({z.sum().item() for z in data.latents}) == len(set(texts)) == 4
    _, texts = data.batch(400, loop.chance(0, 1), empty=0.25)
    assert 60 < texts.count("") < 140


def test_words_are_read_off() -> None:
    words = Vocabulary(["Hot dog, hot", "a dog's bone"])
    assert words.words == ["a", "bone", "dog", "hot", "s"]
    shares = words.shares(["Hot dog, hot", "HOT", "fish"])
    assert shares.tolist() == [[0, 0, 0.5, 0.5, 0], [0, 0, 0, 1, 0], [0] * 5]
    logits = torch.tensor([[0, 0, 9, 9, 0.0], [9, 0, 0, 0, 0], [0, 0, 0, 9, 0]])
    loss, right = words.judge(logits, shares[[0, 1, 1]])
    assert right == pytest.approx(2 / 3)
    assert loss == pytest.approx((0.6933 + 9.0005 + 0.0005) / 3, abs=1e-3)
    rng = random.Random(0)
    left = [fewer("one two three", rng) for _ in range(200)]
    assert all(left) and 0.6 < sum(len(words_of(text)) for text in left) / 600 < 0.8
    with pytest.raises(loop.TrainingError, match="not one word"):
        Vocabulary(["!"])
