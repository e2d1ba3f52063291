"""The image, the compose file and the service, as far as they can be looked at without running."""

import json
import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pathspec
import pytest
from programs import ROOT, run

from sdxs.page import __main__ as pages
from tests.deploy.spaces import upload

TOOLS = Path(sys.executable).parent


def tracked() -> list[str]:
    return run("git", "ls-files").stdout.splitlines()


def context() -> set[str]:
    """The tracked files that an image is built of. Docker's patterns begin at the root, git's
    anywhere."""
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    rooted = [re.sub(r"^(!?)(?=\w)", r"\1/", line) for line in lines]
    ignored = pathspec.PathSpec.from_lines("gitignore", rooted)
    return {name for name in tracked() if not ignored.match_file(name)}


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text("utf-8"))
    lines = [line for line in text.splitlines() if line and line[0] != "#"]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def started(words: list[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The options of a page that a command line starts."""
    asked: list[Any] = []
    monkeypatch.setattr(pages, "run", lambda _, options: asked.append(options))
    assert Path(words[0]).name == "sdxs-page"
    pages.main(words[1:])
    return asked[0]


def test_the_dockerfile_is_clean() -> None:
    done = run(TOOLS / "hadolint", "Dockerfile")
    assert done.returncode == 0, done.stdout


def test_an_image_has_what_a_page_needs() -> None:
    """What a Space has, but for what belongs to one; and what the package is built of."""
    space = {name for name in upload.tree("app") if name.startswith(("sdxs/", "weights/"))}
    built = {"LICENSE", "README.md", "constraints.txt", "pyproject.toml"}
    assert context() == space | built | {"setup.py"}


def test_an_image_builds_of_it(tmp_path: Path) -> None:
    for name in context():
        place = tmp_path / "source" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(ROOT / name)
    build = f"from setuptools import build_meta; print(build_meta.build_wheel({str(tmp_path)!r}))"
    done = run(sys.executable, "-c", build, cwd=tmp_path / "source")
    assert done.returncode == 0, done.stderr
    shutil.unpack_archive(next(tmp_path.glob("*.whl")), tmp_path / "wheel", "zip")
    inside = {str(file.relative_to(tmp_path / "wheel")) for file in (tmp_path / "wheel").rglob("*")}
    needed = {re.sub("^weights/", "sdxs/weights/", name) for name in upload.tree("app")}
    assert {name for name in needed if name.startswith("sdxs/")} <= inside


def test_the_image_is_no_root_and_asks_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    said = dict(instructions())
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", said["USER"])
    command = [*json.loads(said["ENTRYPOINT"]), *json.loads(said["CMD"])]
    options = started(command, monkeypatch)
    assert (options.public, options.host, options.page) == (True, "0.0.0.0", "text")
    assert f"127.0.0.1:{options.port}/healthz" in said["HEALTHCHECK"]
    assert said["EXPOSE"] == str(options.port)
    kept = dict(re.findall(r"(\w+)=(/\S+)", said["ENV"]))
    for name in ("HF_HOME", "SDXS_CACHE", "SDXS_WEIGHTS"):
        assert f"/{kept[name].split('/')[1]}" in json.loads(said["VOLUME"])


def composed(*options: str, **environment: str) -> dict[str, Any]:
    command = [TOOLS / "docker-compose", *options, "config", "--format", "json"]
    done = run(*command, env=os.environ | environment)
    assert done.returncode == 0, done.stderr
    services: dict[str, Any] = json.loads(done.stdout)["services"]
    return services


def test_compose(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(composed()) == {"page"}
    services = composed(
        "--profile", "cuda", PAGE="sketch", PORT="8080", WEIGHTS=str(ROOT / "weights")
    )
    assert set(services) == {"page", "page-cuda"}
    entry = json.loads(dict(instructions())["ENTRYPOINT"])
    for service in services.values():
        assert started([*entry, *service["command"]], monkeypatch).page == "sketch"
        (port,) = service["ports"]
        assert (port["target"], port["published"], port["host_ip"]) == (7860, "8080", "127.0.0.1")
        assert service["read_only"] and service["restart"] and int(service["mem_limit"]) > 2**30
        assert int(service["stop_grace_period"].removesuffix("s")) >= 10
        targets = {each["target"]: each for each in service["volumes"]}
        assert set(targets) == set(json.loads(dict(instructions())["VOLUME"]))
        assert targets["/weights"]["source"] == str(ROOT / "weights")
    (gpu,) = services["page-cuda"]["deploy"]["resources"]["reservations"]["devices"]
    assert gpu["driver"] == "nvidia" and gpu["capabilities"] == ["gpu"]
    arguments = {rest.partition("=")[0] for name, rest in instructions() if name == "ARG"}
    assert set(services["page-cuda"]["build"]["args"]) <= arguments


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd on this machine")
def test_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "deploy/sdxs.service").read_text("utf-8")
    (command,) = re.findall(r"^ExecStart=(.*)", text, re.MULTILINE)
    options = started(shlex.split(command), monkeypatch)
    assert (options.public, options.host) == (True, "127.0.0.1")
    (tmp_path / "sdxs.service").write_text(text.replace(command.split()[0], sys.executable))
    done = run("systemd-analyze", "verify", tmp_path / "sdxs.service")
    assert done.returncode == 0 and not done.stderr, done.stderr
    strict = ("security", "--offline=true", "--threshold=20")
    done = run("systemd-analyze", *strict, tmp_path / "sdxs.service")
    assert done.returncode == 0, done.stdout
