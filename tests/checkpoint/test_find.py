"""Names, folders and Hub ids find their folder, and "auto" never touches the network."""

import os
import socket
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub import errors as hub_errors

from sdxs import CheckpointError, InputError, sources
from sdxs.checkpoint import find
from sdxs.config import EMBEDDED, REAL_MODEL

NEEDED = [
    *(f"{part}/config.json" for part in ("unet", "vae", "text_encoder")),
    *(f"{part}/diffusion_pytorch_model.safetensors" for part in ("unet", "vae")),
    *("text_encoder/model.safetensors", "tokenizer/vocab.json", "tokenizer/merges.txt"),
    *("model_index.json", "scheduler/scheduler_config.json"),
]


@pytest.fixture(autouse=True)
def clean_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty Hub cache, a weights folder of our own, and no network at all."""

    def refuse(*_: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(sources, "OWN_WEIGHTS", make(tmp_path / "weights" / EMBEDDED).parent)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def make(folder: Path, files: list[str] = NEEDED) -> Path:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("{}")
    return folder


def fill_cache(tmp_path: Path, files: list[str] = NEEDED) -> Path:
    """The local Hub cache as huggingface_hub lays it out."""
    model = tmp_path / "hub" / f"models--{REAL_MODEL.replace('/', '--')}"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text("abc123")
    return make(model / "snapshots" / "abc123", files)


def test_auto_is_the_embedded_model() -> None:
    source = find.resolve()
    assert (source.name, source.kind) == (EMBEDDED, "named")
    assert source.folder == sources.OWN_WEIGHTS / EMBEDDED
    assert REAL_MODEL in source.reason and "not in the Hugging Face cache" in source.reason
    assert source.hint == f"make run CHECKPOINT={REAL_MODEL}"


def test_auto_is_the_real_model_when_it_is_there(tmp_path: Path) -> None:
    folder = fill_cache(tmp_path)
    source = find.resolve("auto")
    assert (source.name, source.folder, source.kind) == (REAL_MODEL, folder, "hub")
    assert "already in the Hugging Face cache" in source.reason and source.hint == ""


@pytest.mark.parametrize("missing", NEEDED)
def test_auto_passes_over_half_a_download(missing: str, tmp_path: Path) -> None:
    fill_cache(tmp_path, [file for file in NEEDED if file != missing])
    assert find.resolve().name == EMBEDDED


def test_auto_obeys_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_cache(tmp_path)
    mine = make(tmp_path / "mine")
    monkeypatch.setenv("SDXS_CHECKPOINT", str(mine))
    source = find.resolve()
    assert (source.name, source.folder) == (str(mine), mine)
    assert "SDXS_CHECKPOINT" in source.reason
    monkeypatch.setenv("SDXS_CHECKPOINT", EMBEDDED)
    assert find.resolve().hint and find.resolve().name == EMBEDDED
    for unset in ("", "auto"):
        monkeypatch.setenv("SDXS_CHECKPOINT", unset)
        assert find.resolve().name == REAL_MODEL


def test_an_explicit_name_is_not_overruled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDXS_CHECKPOINT", "nonsense")
    assert find.resolve(EMBEDDED).name == EMBEDDED


def test_names_are_never_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "here" / EMBEDDED)
    make(tmp_path / "here" / "other")
    monkeypatch.chdir(tmp_path / "here")
    assert find.resolve(EMBEDDED).folder == sources.OWN_WEIGHTS / EMBEDDED
    with pytest.raises(CheckpointError, match=r"\./other"):
        find.resolve("other")
    assert find.resolve("./other").folder == tmp_path / "here" / "other"


def test_a_weights_folder_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDXS_WEIGHTS", str(tmp_path / "own"))
    mine = make(tmp_path / "own" / "mine")
    assert find.resolve("mine").folder == mine == find.weights_folder("mine")
    assert find.weights_folder(EMBEDDED) == sources.OWN_WEIGHTS / EMBEDDED
    assert find.resolve(EMBEDDED).folder == sources.OWN_WEIGHTS / EMBEDDED
    assert find.resolve(mine) == find.resolve("mine")  # its words are known either way
    with pytest.raises(CheckpointError, match="did you mean mine") as caught:
        find.resolve("minee")
    assert str(tmp_path / "own") in str(caught.value)
    assert str(sources.OWN_WEIGHTS) in str(caught.value)


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(tmp_path / "runs" / "it")
    monkeypatch.chdir(tmp_path)
    for way in (folder, str(folder), "runs/it", "./runs/it", "../" + tmp_path.name + "/runs/it"):
        source = find.resolve(way)
        assert source.folder == folder and source.kind == "folder" and source.name == str(way)


def test_what_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder, why in (
        (make(tmp_path / "lora", ["adapter_config.json"]), "is a LoRA"),
        (tmp_path / "empty", r"without model_index\.json"),
        (make(tmp_path / "graphs", ["sdxs.json", "paint.onnx"]), "SDXS_ENGINE=lite"),
        (tmp_path / "none", "no file or folder"),
    ):
        with pytest.raises(CheckpointError, match=why):
            find.resolve(folder)
    for nothing in ("", "  ", "a\0b", None, 3):
        with pytest.raises(InputError, match="checkpoint must be"):
            find.resolve(nothing)  # type: ignore[arg-type]
    for strange in ("a/b/c", "/", "x" * 5000, "storybook!", "a\nb", "~nosuchuser/x"):
        with pytest.raises(CheckpointError):
            find.resolve(strange)


def test_published_names_hold_for_every_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def repository(name: str, *_: Any, **__: Any) -> Path:
        asked.append(name)
        return Path("here")

    monkeypatch.setattr(find, "repository", repository)
    for checkpoint in (REAL_MODEL, f"{REAL_MODEL}@v1"):
        find.find("styles", "anime", checkpoint)
    assert asked == ["IDKiro/sdxs-512-dreamshaper-anime"] * 2


def response(status: int) -> Any:
    import httpx

    return httpx.Response(status, request=httpx.Request("GET", "https://huggingface.co/x/y"))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (lambda: hub_errors.RepositoryNotFoundError("x", response=response(404)), "is not on the"),
        (lambda: hub_errors.GatedRepoError("x", response=response(403)), "permission"),
        (lambda: hub_errors.RevisionNotFoundError("x", response=response(404)), "revision v2"),
        (lambda: hub_errors.HfHubHTTPError("x", response=response(401)), "HF_TOKEN"),
        (lambda: hub_errors.HfHubHTTPError("x", response=response(429)), "wait a while"),
        (lambda: hub_errors.LocalEntryNotFoundError("x"), "cannot be reached"),
        (lambda: hub_errors.OfflineModeIsEnabled("x"), "cannot be reached"),
        (lambda: PermissionError(13, "no", "/cache"), "no permission for /cache.*HF_HOME"),
        (lambda: OSError(28, "No space left on device"), "No space left"),
    ],
)
def test_the_hub_says_no(error: Any, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(hub_id: str, revision: str | None, **_: Any) -> Any:
        assert (hub_id, revision) == ("owner/name", "v2")
        if isinstance(error(), hub_errors.HfHubHTTPError):
            raise error()
        file = {"rfilename": "unet/diffusion_pytorch_model.safetensors", "size": 1}
        return huggingface_hub.ModelInfo(id=hub_id, sha="0" * 40, siblings=[file])

    def download(*_: Any, **__: Any) -> str:
        raise error()

    monkeypatch.setattr(huggingface_hub, "model_info", ask)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(CheckpointError, match=message) as caught:
        find.resolve("owner/name@v2")
    assert "\n" not in str(caught.value) and "owner/name@v2" in str(caught.value)


def test_no_leave_to_read_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "no", "/cache")

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", forbidden)
    assert find.resolve().name == EMBEDDED
    assert os.environ.get("SDXS_CHECKPOINT") is None


def test_all_controls_are_the_published_and_the_shipped_ones(monkeypatch, tmp_path) -> None:
    for name in ("canny", "sketch", ".hidden"):
        (tmp_path / "controls" / name).mkdir(parents=True)
    monkeypatch.setenv("SDXS_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(sources, "OWN_WEIGHTS", tmp_path)
    storybook = find.Source("storybook", tmp_path, "named", "")
    assert find.all_of("controls", storybook) == ["canny", "sketch"]
    hub = find.Source(f"{REAL_MODEL}@main", tmp_path, "hub", "")
    assert find.all_of("controls", hub) == ["sketch"]  # what ships was trained for another
    assert find.all_of("styles", find.Source("./mine", tmp_path, "folder", "")) == []
