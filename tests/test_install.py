"""The package as a stranger has it: installed from its sdist, used from an empty folder."""

import json
import shutil
import signal
import subprocess
import sys
import sysconfig
import urllib.request
from pathlib import Path
from typing import Any

import gaussians
import pytest
from PIL import Image, ImageChops
from programs import ROOT, Done, free_port
from programs import run as ended

from sdxs import SDXS

LEFT_OUT = (".*", "runs", "build", "dist", "*.egg-info", "__pycache__")


def run(*command: object, cwd: Path) -> Done:
    done = ended(*command, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bin/ of a fresh environment that holds the package; all it needs it has from this one's."""
    folder = tmp_path_factory.mktemp("install")
    shutil.copytree(ROOT, folder / "source", ignore=shutil.ignore_patterns(*LEFT_OUT))
    build = f"from setuptools import build_meta; build_meta.build_sdist({str(folder)!r})"
    run(sys.executable, "-c", build, cwd=folder / "source")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    own = {"base": str(folder / "venv")}
    packages = Path(sysconfig.get_path("purelib", vars=own))
    (packages / "needs.pth").write_text(sysconfig.get_path("purelib"))
    programs = Path(sysconfig.get_path("scripts", vars=own))
    pip = [sys.executable, "-m", "pip", "--python", programs / "python", "install", "--no-deps"]
    run(*pip, "--no-index", "--no-build-isolation", *folder.glob("*.tar.gz"), cwd=folder)
    return programs


def test_all_is_in_the_package_and_the_licence_beside_it(programs: Path, tmp_path: Path) -> None:
    where = "import sdxs; print(sdxs.__path__[0])"
    package = Path(run(programs / "python", "-c", where, cwd=tmp_path).stdout.strip())
    assert programs.parent in package.parents
    data = [(ROOT / name, package / name) for name in ("weights", "recipes")]
    for ours, theirs in ((ROOT / "sdxs", package), *data):
        for file in ours.rglob("*"):
            if file.is_file() and file.suffix not in (".pyc", ".webp"):
                assert (theirs / file.relative_to(ours)).read_bytes() == file.read_bytes(), file
    assert list(package.parent.glob("sdxs-*.dist-info/licenses/LICENSE"))


@pytest.mark.embedded
def test_the_command_paints_as_the_repository_does(programs: Path, tmp_path: Path) -> None:
    run(programs / "sdxs", "a red house", "--seed", 7, "--output", "red.png", cwd=tmp_path)
    ours = SDXS.load("storybook")("a red house", seed=7)
    assert not ImageChops.difference(Image.open(tmp_path / "red.png"), ours).getbbox()


def test_help_and_import_are_light(programs: Path, tmp_path: Path) -> None:
    timed = [programs / "python", "-X", "importtime"]
    told = run(*timed, programs / "sdxs", "--help", cwd=tmp_path)
    assert told.stdout.startswith("usage: ") and " torch" not in told.stderr
    *_, total, name = run(*timed, "-c", "import sdxs", cwd=tmp_path).stderr.split("|")
    assert name.strip() == "sdxs" and int(total) < 500_000  # microseconds


@pytest.mark.embedded
def test_the_examples_run(programs: Path, tmp_path: Path) -> None:
    scripts = [ROOT / "examples" / f"{name}.py" for name in ("control", "paint", "style")]
    assert all(len(script.read_text("utf-8").splitlines()) <= 20 for script in scripts)
    each = "import runpy, sys; [runpy.run_path(script) for script in sys.argv[1:]]"
    run(programs / "python", "-c", each, *scripts, cwd=tmp_path)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == [
        "drawn.png", *(f"house-{seed}.png" for seed in range(4)), "lines.png", "star-in-anime.png"
    ]  # fmt: skip
    for file in files:
        low, high = Image.open(file).convert("L").getextrema()
        assert high - low > 100, file


@pytest.mark.parametrize("updates", [20, pytest.param(1000, marks=pytest.mark.long)])
def test_the_notebook_runs_top_to_bottom(updates: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    train = gaussians.train

    def trained(method: str, seed: int, steps: int) -> gaussians.Network:
        assert steps == 1000
        return train(method, seed, updates)

    monkeypatch.setattr(gaussians, "train", trained)
    names: dict[str, Any] = {}
    for cell in json.loads((ROOT / "examples/gaussians.ipynb").read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    modes = {method: found["modes"] for method, found in names["found"].items()}
    assert modes.keys() == set(gaussians.METHODS)
    assert updates < 1000 or modes["matching"] == modes["segmented"] == 8


@pytest.mark.embedded
def test_the_page_starts_and_stops(programs: Path, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    command = [str(programs / "sdxs-page"), "--port", url.rpartition(":")[2]]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as page:
        try:
            assert page.stdout and url in page.stdout.readline()
            assert urllib.request.urlopen(url, timeout=60).status == 200
            page.send_signal(signal.SIGINT)
            assert page.wait(60) == 0
        finally:
            page.kill()
