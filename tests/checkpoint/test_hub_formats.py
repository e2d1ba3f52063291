"""Hub repositories that are no folder with one file a network: what is fetched of them."""

import shutil
from pathlib import Path

import hub
import pytest
import torch
from hub import Hub, python
from ldm import build_toy, stability, write_file
from shards import split
from tiny import build_checkpoint, load

from sdxs.config import CLIP_TOKENIZER

ID = "owner/name"
FETCH = """
import sys
from sdxs.errors import SDXSError
from sdxs.checkpoint.find import resolve
try:
    print(resolve(sys.argv[1]).folder)
except SDXSError as error:
    sys.exit(f"refused: {error}")
"""


def fetched(standin: Hub, home: Path) -> tuple[Path, str]:
    result = python(standin, home, FETCH, ID)
    return Path(result.stdout.strip()), result.stderr


def painted(place: Path) -> torch.Tensor:
    return load(place, safety=False)("tree", seed=1, size=64, output_type="pt")


def test_shards_that_an_index_names(tmp_path: Path) -> None:
    folder = build_checkpoint(tmp_path / "it")
    wanted = painted(folder)
    file = folder / "unet/diffusion_pytorch_model.safetensors"
    shutil.copy(file, half := file.with_suffix(".fp16.safetensors"))
    split(file, count=3)
    with hub.serve({ID: folder}) as standin:
        place, said = fetched(standin, tmp_path / "home")
        assert place.is_dir(), said
        names = [name for name in standin.fetched() if name.startswith("unet/")]
    assert len(names) == 5 and f"unet/{half.name}" not in names  # config, index, shards
    assert torch.equal(painted(place), wanted)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_toy(tmp_path_factory.mktemp("toy") / "it", "sdxs")


def test_a_single_file_and_its_tokenizer(toy: Path, tmp_path: Path) -> None:
    file = write_file(stability(toy), tmp_path / "it/sdxs.safetensors")
    (file.parent / "README.md").write_text("a model")
    repositories = {ID: file.parent, CLIP_TOKENIZER: toy / "tokenizer"}
    with hub.serve(repositories) as standin:
        place, said = fetched(standin, tmp_path / "home")
        assert place.name == file.name, said
        assert "README.md" not in standin.fetched()
    shutil.copytree(toy / "tokenizer", place.parent / "tokenizer")  # this process has another cache
    assert torch.equal(painted(place), painted(toy))


def test_what_is_said_of_others(toy: Path, tmp_path: Path) -> None:
    file = write_file(stability(toy), tmp_path / "it/sdxs.safetensors")
    with hub.serve({ID: file.parent}) as standin:
        _, said = fetched(standin, tmp_path / "home")
        assert "brings no tokenizer" in said and "hf download openai/clip" in said
    shutil.copy(file, file.parent / "another.safetensors")
    with hub.serve({ID: file.parent}) as standin:
        _, said = fetched(standin, tmp_path / "home-2")
    assert "no file that is needed" in said and "another.safetensors, sdxs.safetensors" in said
    (file.parent / "another.safetensors").unlink()
    file.rename(file.with_suffix(".ckpt"))
    with hub.serve({ID: file.parent}) as standin:
        _, said = fetched(standin, tmp_path / "home-3")
    assert "no file that is needed" in said and "sdxs.ckpt" in said
