"""The real `huggingface_hub` client against a stand-in for the Hub that may misbehave.

Each fetch is a process of its own: the client reads its environment when it is imported.
"""

import json
import re
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hub
import pytest
import torch
from hub import COMMIT, Hub, python
from loras import lora_of_unet
from PIL import Image
from programs import Done, free_port, running
from safetensors.torch import load_file, save_file
from tiny import build_checkpoint, build_control, build_safety_checker, drawing, load

from sdxs.config import REAL_MODEL, SAFETY_CHECKER

ID = "owner/name"
UNET = "unet/diffusion_pytorch_model.safetensors"
FETCH = """
import shutil, sys, time
from collections import namedtuple
from sdxs.errors import SDXSError
from sdxs.checkpoint.find import resolve
pause = time.sleep
time.sleep = lambda seconds: pause(min(seconds, 0.05))  # the client waits longer and longer
if len(sys.argv) > 2:
    Usage = namedtuple("Usage", "total used free")
    shutil.disk_usage = lambda path: Usage(10**12, 0, int(sys.argv[2]))
try:
    print(resolve(sys.argv[1]).folder)
except SDXSError as error:
    sys.exit(f"refused: {error}")
"""

FIND = "import sys; from sdxs.checkpoint.find import find; print(find('styles', sys.argv[1], ''))"
CALLS = """
import json, sys
from sdxs.__main__ import main
for line in json.loads(sys.argv[1]):
    print("exit status", main(line), file=sys.stderr)
"""

Fetch = Callable[..., Done]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as people publish it, with more than is needed."""
    folder = build_checkpoint(tmp_path_factory.mktemp("hub") / "name", large=True)
    (folder / UNET.replace(".safetensors", ".fp16.safetensors")).write_bytes(b"half")
    (folder / UNET.replace(".safetensors", ".bin")).write_bytes(b"pickle")
    for file in ("README.md", "app.py", "unet/custom.py", "vae/flax_model.msgpack", "sheet.png"):
        (folder / file).write_bytes(b"not needed")
    return folder


@pytest.fixture
def standin(repository: Path) -> Iterator[Hub]:
    with hub.serve({ID: repository}) as standin:
        yield standin


@pytest.fixture
def fetch(standin: Hub, tmp_path: Path) -> Fetch:
    def run(checkpoint: str = ID, *arguments: str, **more: str) -> Done:
        return python(standin, tmp_path / "home", FETCH, checkpoint, *arguments, **more)

    return run


def got(result: Done) -> Path:
    assert result.returncode == 0, result.stderr
    return Path(result.stdout.strip())


def refused(result: Done, *words: str) -> None:
    assert result.returncode == 1 and "Traceback" not in result.stderr, result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("refused: ")
    assert all(word in last for word in words), last


def test_only_what_is_needed_and_only_once(
    fetch: Fetch, standin: Hub, repository: Path, tmp_path: Path
) -> None:
    result = fetch()
    folder = got(result)
    assert folder.is_relative_to(tmp_path / "home")
    wanted = {
        "model_index.json", "scheduler/scheduler_config.json",
        *(f"{part}/config.json" for part in ("unet", "vae", "vae_large", "text_encoder")),
        *(f"{part}/diffusion_pytorch_model.safetensors" for part in ("unet", "vae", "vae_large")),
        "text_encoder/model.safetensors",
        *(f"tokenizer/{path.name}" for path in (repository / "tokenizer").iterdir()),
    }  # fmt: skip
    assert sorted(standin.fetched()) == sorted(wanted)
    for name in wanted:
        assert (folder / name).read_bytes() == (repository / name).read_bytes()
    assert re.search(r"owner/name: 100%.* \d.*/.* \[00:\d\d<00:\d\d, ", result.stderr)  # and time

    standin.requests.clear()
    assert got(fetch()) == folder and not standin.fetched()


def test_half_precision_alone(tmp_path: Path, repository: Path) -> None:
    folder = shutil.copytree(repository, tmp_path / "half")
    half = {key: tensor.half() for key, tensor in load_file(folder / UNET).items()}
    (folder / UNET).unlink()
    save_file(half, folder / UNET.replace(".safetensors", ".fp16.safetensors"))
    with hub.serve({ID: folder}) as standin:
        result = python(standin, tmp_path / "home", FETCH, ID)
    assert load(got(result), safety=False)("tree").size == (64, 64)


def test_a_pinned_revision_and_names_that_are_not_there(fetch: Fetch, standin: Hub) -> None:
    assert got(fetch(f"{ID}@v1")).name == COMMIT
    assert any(path.endswith("/revision/v1") for _, path, _ in standin.requests)
    refused(fetch(f"{ID}@v7"), f"{ID}@v7", "no revision v7")
    refused(fetch("owner/nothing"), "owner/nothing", "is not on the Hugging Face Hub")


def test_offline(fetch: Fetch, standin: Hub) -> None:
    refused(fetch(HF_HUB_OFFLINE="1"), ID, "is not on this machine")
    folder = got(fetch())
    standin.requests.clear()
    assert got(fetch(HF_HUB_OFFLINE="1")) == folder
    assert not standin.requests


def test_a_cache_that_is_only_read(fetch: Fetch, standin: Hub, tmp_path: Path) -> None:
    folder = got(fetch())
    standin.refs["v2"] = COMMIT
    (tmp_path / "home/hub/models--owner--name/refs/v2").mkdir()  # no file can be there
    assert got(fetch(f"{ID}@v2")) == folder


def test_offline_by_the_environment(fetch: Fetch) -> None:
    refused = fetch(HF_HUB_OFFLINE="1").stderr
    assert "is not on this machine, and HF_HUB_OFFLINE keeps it from being fetched" in refused


def test_tokens(repository: Path, tmp_path: Path) -> None:
    with hub.serve({ID: repository}, token="hf_secret") as standin:
        home = tmp_path / "home"
        refused(python(standin, home, FETCH, ID), ID, "needs permission", "hf auth login")
        got(python(standin, home, FETCH, ID, HF_TOKEN="hf_secret"))


def test_a_line_that_breaks_once(fetch: Fetch, standin: Hub, repository: Path) -> None:
    standin.faults.cut["model.safetensors"] = [1000]
    folder = got(fetch())
    file = "text_encoder/model.safetensors"
    assert (folder / file).read_bytes() == (repository / file).read_bytes()


@pytest.mark.parametrize(
    ("fault", "name", "what"),
    [
        ("cut", "model.safetensors", [1000] * 20),  # a line that is dead
        ("slow", "model.safetensors", 1.5),
        ("status", "model_index.json", 500),
    ],
)
def test_what_fails_can_be_tried_again(
    fault: str, name: str, what: Any, fetch: Fetch, standin: Hub
) -> None:
    faults, patience = getattr(standin.faults, fault), {}
    if fault == "slow":
        patience = dict.fromkeys(("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT"), "1")
    faults[name] = what
    refused(fetch(**patience), ID, "try again")
    faults.clear()
    got(fetch())


@pytest.mark.parametrize(
    "name", ["text_encoder/model.safetensors", "scheduler/scheduler_config.json"]
)
def test_a_wrong_byte(
    fetch: Fetch, standin: Hub, repository: Path, tmp_path: Path, name: str
) -> None:
    """Of a file of the same size: SHA-256 says so for large files, git's SHA-1 for small ones."""
    standin.faults.flip[Path(name).name] = [100]
    refused(fetch(), ID, name, "arrived damaged", "try again")
    before = set(standin.fetched())
    assert not list((tmp_path / "home").rglob(Path(name).name))
    standin.requests.clear()
    folder = got(fetch())
    assert name in before and set(standin.fetched()) & before == {name}
    assert (folder / name).read_bytes() == (repository / name).read_bytes()


def test_a_hub_that_does_not_answer(fetch: Fetch, standin: Hub) -> None:
    folder = got(fetch())
    standin.faults.slow["name"] = 60
    result = fetch(HF_HUB_ETAG_TIMEOUT="1")
    assert got(result) == folder and "is taken as it is here" in result.stderr


def test_a_style_of_any_name(repository: Path, tmp_path: Path) -> None:
    """Most styles on the Hub are one file that is called what its author liked."""
    one, two, none = (tmp_path / name for name in ("one", "two", "none"))
    for folder, names in ((one, ["ink"]), (two, ["ink", "oil"]), (none, [])):
        folder.mkdir()
        (folder / "README.md").write_text("a style")
        for name in names:
            save_file({"x": torch.zeros(1)}, folder / f"{name}.safetensors")
    with hub.serve({"a/one": one, "a/two": two, "a/none": none}) as standin:

        def run(name: str) -> Done:
            return python(standin, tmp_path / "home", FIND, name)

        assert (got(run("a/one")) / "ink.safetensors").is_file()
        for name in ("a/two", "a/none"):
            assert f"{name} holds no file that is needed here" in run(name).stderr


def test_a_full_disk_is_reported_before(fetch: Fetch, standin: Hub) -> None:
    refused(fetch(ID, "100000000"), ID, "MB free", "make room, or set HF_HOME")
    assert not standin.fetched()
    got(fetch(ID, "200000000"))


@pytest.fixture(scope="module")
def published(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """All repositories of the published model, by name, with their layouts; tiny and random."""
    root = tmp_path_factory.mktemp("published")
    lora_of_unet(repository).save_pretrained(root / "anime")
    hub.as_a_pickle(root / "anime")
    checker = build_safety_checker(root / "checker", share=1)
    shutil.copy(checker / "feature_extractor/preprocessor_config.json", checker / "safety_checker")
    return {
        REAL_MODEL: repository,
        f"{REAL_MODEL}-anime": root / "anime",
        f"{REAL_MODEL}-sketch": build_control(root / "sketch"),
        SAFETY_CHECKER: checker / "safety_checker",
    }


def test_from_the_cold_to_the_page(published: dict[str, Path], tmp_path: Path) -> None:
    names = ["--checkpoint", REAL_MODEL, "--styles", "anime", "--controls", "sketch"]
    port, log = free_port(), tmp_path / "log"
    command = ["app.py", "--public", "--port", port, *names]
    with hub.serve(published) as standin, log.open("w") as errors:
        environment = hub.environment(standin, tmp_path / "home")
        with running(*command, env=environment, log=errors) as said:
            assert f":{port}/" in said, log.read_text()
            page = urllib.request.urlopen(f"http://127.0.0.1:{port}/config", timeout=100).read()
    for name in published:
        assert f"fetching {name}" in log.read_text() and f"{name}: 100%" in log.read_text()
    assert b"anime" in page and b"A safety checker looks at every picture" in page


def test_the_real_names_with_style_control_and_checker(
    published: dict[str, Path], tmp_path: Path
) -> None:
    """From the cold to the picture, by the command line."""
    drawing().save(tmp_path / "drawing.png")
    steer = ["--control", "sketch", "--control-image", str(tmp_path / "drawing.png")]
    plain, worn = ["--no-safety"], ["--no-safety", "--style", "anime"]
    calls = [[], plain, worn, [*worn, *steer], ["--style", "anine"]]
    pictures = [str(tmp_path / f"{number}.png") for number in range(len(calls))]
    start = ["a red house", "--checkpoint", REAL_MODEL, "--output"]
    lines = [[*start, file, *options] for file, options in zip(pictures, calls, strict=True)]
    with hub.serve(published) as standin:
        result = python(standin, tmp_path / "home", CALLS, json.dumps(lines))
    assert result.returncode == 0, result.stderr
    said = result.stderr.split("exit status ")
    assert [part[0] for part in said[1:]] == ["0", "0", "0", "0", "2"], result.stderr
    assert ["unsafe, rightly or not, was blurred" in part for part in said] == [True, *[False] * 5]
    assert "did you mean anime" in said[4]
    assert len({Image.open(file).tobytes() for file in pictures[:4]}) == 4
