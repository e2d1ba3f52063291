"""SDXS-512's shapes, with random weights, on the static site: prints seconds and memory with -s."""

import io
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser

from sdxs import SDXS
from sdxs.bench.architectures import write
from sdxs.service.drawings import bytes_of
from tests.browser.web.conftest import PROMPT, Tabs, asked, hosting, ready
from tests.browser.web.key_to_picture import memory
from tests.browser.web.test_site_paints import LEAST, distance
from tests.programs import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.embedded, pytest.mark.long]

PATIENCE_MS = 300_000


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_folder_of_a_gigabyte(
    dtype: str, browser: Browser, tabs: Tabs, site: Path, tmp_path: Path
) -> None:
    checkpoint = write("sdxs-512", tmp_path / "sdxs-512")
    folder = shutil.copytree(site, tmp_path / "site") / "own"
    command = ["-m", "sdxs.export", checkpoint, "--to", "onnx", "--dtype", dtype, "--out", folder]
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True)
    with hosting(folder.parent) as host:
        start = time.perf_counter()
        page = tabs(f"{host.url}index.html?model=own")
        page.set_default_timeout(PATIENCE_MS)
        page.locator("#sdxs-prompt").wait_for()
        opened = time.perf_counter()
        ready(page)
        answer = asked(page, "download", {"prompt": PROMPT, "seed": "0"})
        painted = time.perf_counter()
        held = memory(browser)
    theirs = Image.open(io.BytesIO(bytes_of(answer["file"], "it")))
    model = SDXS.load(checkpoint, dtype="float32", engine="eager", safety=False)
    near = distance(theirs, model(PROMPT, seed=0))
    print(
        f"\n{dtype}: open after {opened - start:.1f} s, a picture in {painted - opened:.1f} s, "
        f"{held:.0f} MB, {near:.1f} dB"
    )
    assert theirs.size == (512, 512) and near >= LEAST
