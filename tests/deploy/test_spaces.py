"""The Spaces: their cards, what is uploaded of each, and that this starts by itself."""

import os
import re
import sys
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from programs import ROOT, Done, free_port, run, running
from test_imports import ours

from tests.deploy.spaces import SPACES, Hub, serve, upload

PAGES = {"app": "app.py", "anime": "app_anime.py", "sketch": "app_sketch.py"}
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}  # of the Hub
KEYS = (
    "title", "emoji", "colorFrom", "colorTo", "sdk", "sdk_version", "python_version", "app_file",
    "short_description", "models", "tags", "license", "suggested_hardware",
)  # fmt: skip


@pytest.fixture(scope="module")
def trees() -> dict[str, dict[str, Path | bytes]]:
    return {page: upload.tree(page) for page in PAGES}


@pytest.mark.parametrize(("page", "app"), PAGES.items())
def test_the_card(page: str, app: str) -> None:
    _, header, text = (SPACES / page / "README.md").read_text("utf-8").split("---\n", 2)
    card = yaml.safe_load(header)
    assert tuple(card) == KEYS
    assert {card["colorFrom"], card["colorTo"]} <= COLOURS
    assert len(card["emoji"].encode()) < 8 and len(card["short_description"]) <= 60
    assert f"gradio=={card['sdk_version']}" in (ROOT / "constraints.txt").read_text("utf-8")
    versions = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text("utf-8"))
    assert card["python_version"] in versions
    assert (card["sdk"], card["app_file"], card["license"]) == ("gradio", app, "apache-2.0")
    assert not {link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link}


def test_there_is_a_page_for_each_folder() -> None:
    folders = {each.name for each in SPACES.iterdir() if each.is_dir()}
    assert {*PAGES, "web"} == set(upload.PAGES) == folders


def test_the_card_of_the_static_site() -> None:
    _, header, text = (SPACES / "web" / "README.md").read_text("utf-8").split("---\n", 2)
    card = yaml.safe_load(header)
    assert (card["sdk"], card["app_file"], card["license"]) == (
        "static",
        "index.html",
        "apache-2.0",
    )
    assert {card["colorFrom"], card["colorTo"]} <= COLOURS
    assert len(card["emoji"].encode()) < 8 and len(card["short_description"]) <= 60
    assert card["custom_headers"]["cross-origin-opener-policy"] == "same-origin"
    assert not {link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link}


def test_the_static_site_travels_as_it_was_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "SITE", tmp_path)
    with pytest.raises(upload.UploadError, match="make web"):
        upload.tree("web")
    (tmp_path / "model").mkdir()
    for name in ("sw.js", "index.html", "model/sdxs.json"):
        (tmp_path / name).write_text(name)
    assert list(upload.tree("web")) == ["README.md", "index.html", "model/sdxs.json", "sw.js"]


@pytest.mark.parametrize(("page", "app"), PAGES.items())
def test_what_travels(page: str, app: str, trees: dict[str, dict[str, Any]]) -> None:
    files = trees[page]
    assert {"README.md", "requirements.txt", "LICENSE", app, "sdxs/py.typed"} <= set(files)
    assert files["README.md"] == SPACES / page / "README.md"
    code = {name for name in files if name.endswith(".py")}
    assert {name for name in code if "/" not in name} == {app}
    assert not {
        name for name in files if re.match(r"sdxs/train|tests|docs|CHANGELOG|weights/eval", name)
    }
    for name in code:
        for module in ours(ROOT / name):
            path = "/".join(["sdxs", *module.split(".")]).rstrip("/")
            assert {f"{path}.py", f"{path}/__init__.py"} & code, f"{name} needs {path}"


def test_the_requirements_are_the_tested_versions() -> None:
    said = upload.requirements().decode()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["torch"]]
    assert (
        re.findall(r"^\w.*", (ROOT / "requirements.txt").read_text("utf-8"), re.MULTILINE) == asked
    )
    names = [re.split(r"[^\w-]", line)[0] for line in asked]
    assert re.findall(r"^[\w-]+", said, re.MULTILINE) == names
    loose = [
        line for line in said.splitlines() if line[0] != "#" and "==" not in line.split(";")[0]
    ]
    assert [line.split(">")[0] for line in loose] == ["torch"]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve(Hub()) as standin:
        yield standin


def uploading(standin: Hub, home: Path, *arguments: str, **environment: str) -> Done:
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("HF_", "HUGGING"))}
    kept |= {"HF_ENDPOINT": standin.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    kept |= {"NO_PROXY": "127.0.0.1"}
    return run(sys.executable, SPACES / "upload.py", *arguments, env=kept | environment)


def test_an_upload(hub: Hub, tmp_path: Path, trees: dict[str, dict[str, Any]]) -> None:
    hub.files = {"old.py": b"", "app.py": b"of before", ".gitattributes": b"the Hub's"}
    done = uploading(hub, tmp_path, "app", "--repo", "me/sdxs", HF_TOKEN=hub.token)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"The Space is at {hub.url}/spaces/me/sdxs\n")
    assert (hub.made["type"], hub.made["sdk"], hub.made["name"]) == ("space", "gradio", "sdxs")
    assert hub.files.pop(".gitattributes") == b"the Hub's"
    sent = {name: file if isinstance(file, bytes) else file.read_bytes()
            for name, file in trees["app"].items()}  # fmt: skip
    assert hub.files == sent
    large = [content for content in sent.values() if len(content) > upload.LARGEST_REGULAR]
    assert large and list(hub.stored.values()) == large
    assert sum("/commit/" in request for request in hub.requests) == 1


@pytest.mark.parametrize(
    ("token", "repo", "status", "said"),
    [
        ("", "me/sdxs", 200, "there is no token: set HF_TOKEN"),
        ("hf_other", "me/sdxs", 200, "does not know the token"),
        ("hf_writes", "me/sdxs", 403, "may not write to me/sdxs"),
        ("hf_writes", "me/sdxs/x", 200, "'me/sdxs/x' is no name of a Space"),
        ("hf_writes", "me/sdxs", 0, "nothing was uploaded"),
    ],
)
def test_mistakes(hub: Hub, tmp_path: Path, token: str, repo: str, status: int, said: str) -> None:
    hub.status = status
    more = {"HF_TOKEN": token} if token else {}
    if not status:
        more["HF_ENDPOINT"] = f"http://127.0.0.1:{free_port()}"
    done = uploading(hub, tmp_path, "sketch", "--repo", repo, **more)
    *_, last = done.stderr.splitlines()
    assert done.returncode == 2 and said in last and "Traceback" not in done.stderr, done.stderr
    assert not hub.files


def test_a_dry_run_asks_nobody(hub: Hub, tmp_path: Path, trees: dict[str, dict[str, Any]]) -> None:
    done = uploading(hub, tmp_path, "anime", "--dry-run")
    *files, total = done.stdout.splitlines()
    sizes = upload.sizes(trees["anime"])
    assert [line.split()[1] for line in files] == list(sizes)
    assert [int(line.split()[0].replace(",", "")) for line in files] == list(sizes.values())
    assert total.split()[0] == f"{sum(sizes.values()):,}"
    assert [line.split()[1] for line in files if line.endswith("(LFS)")] == [
        "weights/storybook/unet/diffusion_pytorch_model.safetensors"
    ]
    assert not hub.requests and not list(tmp_path.iterdir())


@pytest.mark.embedded
def test_the_tree_starts_by_itself(tmp_path: Path, trees: dict[str, dict[str, Any]]) -> None:
    for name, file in trees["sketch"].items():
        place = tmp_path / "space" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file if isinstance(file, bytes) else file.read_bytes())
    temporary, port = tmp_path / "temporary", free_port()
    temporary.mkdir()
    env = os.environ | {"SPACE_ID": "me/sdxs", "TMPDIR": str(temporary), "PYTHONPATH": "",
                        "GRADIO_SERVER_PORT": port, "GRADIO_SERVER_NAME": "127.0.0.1"}  # fmt: skip
    app, log = tmp_path / "space" / "app_sketch.py", tmp_path / "log"
    with log.open("w") as errors, running("-s", app, env=env, log=errors) as said:
        assert f":{port}/" in said, log.read_text()
        assert urllib.request.urlopen(f"http://127.0.0.1:{port}/").status == 200
