"""The static site in a real browser: what a visitor meets on it, from the first visit on."""

import hashlib
import json
import re
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Page, expect

from sdxs.metadata import reading
from sdxs.metadata.marker import Label, Marker
from sdxs.service.painting import ALONE
from tests.browser.canvas import draw
from tests.browser.conftest import HANDHELD, WATCH, note
from tests.browser.web.conftest import PROMPT, STYLE, asked, painted, prompt, ready

pytestmark = pytest.mark.browser

UNKEPT = "This browser keeps nothing of the page"
NO_WORKER = "delete Navigator.prototype.serviceWorker;"
NO_CLIPBOARD = "Object.defineProperty(navigator, 'clipboard', { value: undefined });"
NEVER = "Object.defineProperty(window, 'crossOriginIsolated', { value: false });"
KEPT = """() => new Promise((done) => {
  navigator.serviceWorker.addEventListener("message", ({ data }) => done(data.kept));
  navigator.serviceWorker.controller.postMessage("keep");
})"""


def reached(page: Page, said: str) -> str:
    """The picture of a prompt and what else made it, once it is on the page."""
    picture = page.locator("#sdxs-picture")
    expect(picture).to_have_attribute("alt", said)
    expect(page.locator("[data-busy]")).to_have_count(0)
    return picture.get_attribute("src") or ""


def test_the_first_visit_and_the_next_ones(tabs, host):
    page = tabs("about:blank")
    loads: list[str] = []
    page.on("framenavigated", lambda frame: loads.append(frame.url))
    held = host.held["model/weights/unet.safetensors"] = threading.Event()
    page.goto(f"{host.url}index.html")
    expect(page.locator("#sdxs-loading")).to_contain_text("Fetching the model: 0 of 3 MB")
    prompt(page).fill(PROMPT)
    held.set()
    ready(page)
    painted(page, PROMPT)
    assert len(loads) == 2 and page.evaluate("crossOriginIsolated")
    expect(page.locator(".sdxs-facts")).to_have_text("WebAssembly, 2 threads · float32")
    assert page.evaluate(KEPT)
    large = [path for path in host.asked if path.startswith(("model/", "engine/runtime/"))]
    assert len(large) == len(set(large)) > 1

    del host.asked[:]
    other = ready(tabs(f"{host.url}sketch.html", context=page.context))
    prompt(other).fill("a blue ball")
    assert painted(other, "a blue ball") != painted(page, PROMPT)
    assert not [path for path in host.asked if path != "sw.js"]

    host.closed = True
    page.reload()
    expect(prompt(ready(page))).to_have_value(PROMPT)
    painted(page, PROMPT)
    tabs.expected += ["ERR_EMPTY_RESPONSE", "An unknown error occurred when fetching the script"]


def test_what_many_ask_for_is_fetched_once(tabs, host):
    page = ready(tabs(f"{host.url}index.html"))
    assert page.evaluate(KEPT)
    del host.asked[:]
    page.evaluate("caches.delete('sdxs files')")
    texts = page.evaluate("""Promise.all(Array.from({ length: 8 }, () =>
      fetch("model/sdxs.json", { cache: "no-store" }).then((answer) => answer.text())))""")
    assert len(set(texts)) == 1 and "files" in json.loads(texts[0])
    assert host.asked.count("model/sdxs.json") == 1
    assert page.evaluate(KEPT) and len(host.asked) == len(set(host.asked)) > 1


def test_a_new_build_fetches_what_changed(tabs, host):
    page = ready(tabs(f"{host.url}index.html"))
    assert page.evaluate(KEPT)
    del host.asked[:]
    changed = page.evaluate("fetch('site/site.css').then((answer) => answer.text())") + "/* new */"
    host.instead["site/site.css"] = changed.encode()
    worker = page.evaluate("fetch('sw.js').then((answer) => answer.text())")
    sums = json.loads(worker.partition("FILES = ")[2].partition(";")[0])
    new = hashlib.sha256(changed.encode()).hexdigest()
    host.instead["sw.js"] = worker.replace(sums["site/site.css"], new).encode()
    page.evaluate("navigator.serviceWorker.ready.then((one) => one.update())")
    expect(note(page)).to_contain_text("newer version")
    assert {path for path in host.asked if path != "sw.js"} == {"site/site.css"}
    page.reload()
    assert changed == page.evaluate("fetch('site/site.css').then((answer) => answer.text())")


def test_a_download_says_how_it_was_made_and_comes_back(tabs, host, tmp_path):
    page = ready(tabs(f"{host.url}index.html", script=NO_WORKER))
    prompt(page).fill(PROMPT)
    page.get_by_label("Seed", exact=True).fill("12")
    page.get_by_label(STYLE, exact=True).check()
    page.get_by_label("How much of it, as a number").fill("0.37")
    reached(page, f"{PROMPT} (seed 12, style {STYLE})")
    with page.expect_download() as download:
        page.get_by_text("Download PNG").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert file.name == "a-red-house-at-sunset-12.png"
    found = reading.read(file, "it")
    assert found and found.parameters.prompt == PROMPT and found.parameters.ours
    said = {"Seed": "12", "Style": STYLE, "Style scale": "0.37", "Model": "standin"}
    assert said.items() <= found.parameters.settings.items()
    page.get_by_label("Seed", exact=True).fill("13")
    page.get_by_label("How much of it as at first").click()
    page.get_by_label("none", exact=True).first.check()
    page.locator("#sdxs-brought").set_input_files(file)
    expect(page.get_by_label("Seed", exact=True)).to_have_value("12")
    expect(page.get_by_label(STYLE, exact=True)).to_be_checked()
    expect(page.get_by_label("How much of it, as a number")).to_have_value("0.37")


def test_a_link_brings_it_back(tabs, host):
    page = ready(tabs(f"{host.url}index.html", script=f"{NO_WORKER} {NO_CLIPBOARD}"))
    prompt(page).fill("a blue boat")
    page.get_by_label("Seed", exact=True).fill("5")
    picture = reached(page, "a blue boat (seed 5)")
    page.locator("#sdxs-copy").click()
    link = page.locator("#sdxs-link").input_value()
    other = ready(tabs(link, script=NO_WORKER))
    expect(prompt(other)).to_have_value("a blue boat")
    assert reached(other, "a blue boat (seed 5)") == picture


def test_with_and_without_a_style(tabs, host):
    page = ready(tabs(f"{host.url}index.html", script=NO_WORKER))
    page.get_by_label(STYLE, exact=True).check()
    page.get_by_label("Compare with and without").check()
    prompt(page).fill(PROMPT)
    reached(page, f"{PROMPT} (seed 0, style {STYLE})")
    alone = asked(page, "paint", {"prompt": PROMPT, "seed": "0"})["picture"]
    expect(page.locator("#sdxs-plain")).to_have_attribute("src", alone)
    strip = asked(page, "variety", {"prompt": PROMPT, "seed": "13"})["pictures"]
    assert list(strip) == [str(seed) for seed in range(8, 16)]
    assert len(set(strip.values())) == 8


def test_a_drawing_on_a_phone(tabs, host):
    phone = {"width": 390, "height": 844, **HANDHELD}
    page = ready(tabs(f"{host.url}sketch.html", script=NO_WORKER + WATCH, **phone))
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.get_by_label("Seed", exact=True).fill("1")
    expect(note(page)).to_have_text(ALONE)
    draw(page, (0.3, 0.8), (0.3, 0.5), (0.5, 0.3), (0.7, 0.5), (0.7, 0.8), (0.3, 0.8))
    expect(page.locator("#sdxs-control")).to_be_visible()
    control = page.locator("#sdxs-control").get_attribute("src")
    assert control and control.startswith("data:image/png")


@pytest.mark.parametrize(
    ("script", "line"),
    [
        ("delete window.WebAssembly;", "has no WebAssembly"),
        ("WebAssembly.validate = () => false;", "has no SIMD"),
    ],
)
def test_where_it_cannot_paint(script, line, tabs, host):
    page = tabs(f"{host.url}index.html", script=script)
    expect(page.get_by_role("alert")).to_contain_text(line)
    assert not [path for path in host.asked if path.startswith("model/")]


def test_a_page_opened_as_a_file(tabs, light):
    tabs.expected += ["CORS", "ERR_FAILED", "ERR_FILE"]
    page = tabs((light / "index.html").as_uri())
    expect(page.get_by_role("alert")).to_contain_text("http.server")
    tabs.outside.clear()  # its own files


def test_without_a_service_worker_it_paints_and_keeps_nothing(tabs, host):
    page = ready(tabs(f"{host.url}index.html", script=NO_WORKER))
    expect(note(page)).to_contain_text(UNKEPT)
    expect(page.locator(".sdxs-facts")).to_contain_text("1 thread")
    prompt(page).fill(PROMPT)
    painted(page, PROMPT)


def test_without_room_it_paints_and_keeps_nothing(tabs, host):
    page = tabs("about:blank")
    full = {"origin": host.url, "quotaSize": 2_000_000}
    page.context.new_cdp_session(page).send("Storage.overrideQuotaForOrigin", full)
    page.goto(f"{host.url}index.html")
    ready(page)
    expect(note(page)).to_contain_text(UNKEPT)
    prompt(page).fill(PROMPT)
    painted(page, PROMPT)


def test_what_cannot_be_isolated_is_not_loaded_over_and_over(tabs, host):
    page = tabs("about:blank", script=NEVER)
    loads: list[str] = []
    page.on("framenavigated", lambda frame: loads.append(frame.url))
    page.goto(f"{host.url}index.html")
    ready(page)
    prompt(page).fill(PROMPT)
    painted(page, PROMPT)
    assert len(loads) == 2


def test_another_model(tabs, host, light):
    if not (light / "other").exists():
        shutil.copytree(light / "model", light / "other")
    page = ready(tabs(f"{host.url}index.html?model=other", script=NO_WORKER))
    assert "other/sdxs.json" in host.asked and "model/sdxs.json" not in host.asked
    prompt(page).fill(PROMPT)
    painted(page, PROMPT)
    expect(page.get_by_role("link", name="Draw")).to_have_attribute("href", re.compile("other"))
    tabs.expected += ["404"]
    page = tabs(f"{host.url}index.html?model=nowhere", script=NO_WORKER)
    expect(page.locator("#sdxs-start")).to_have_text("There is no sdxs.json.")


def test_a_folder_that_is_dropped_on_the_page(tabs, host, light):
    page = ready(tabs(f"{host.url}index.html"))
    drop(page, light / "site")
    expect(note(page)).to_have_text("site has no sdxs.json: drop a folder that sdxs.export wrote.")
    drop(page, light / "model")
    page.wait_for_url("**/index.html?model=dropped/")
    ready(page)
    prompt(page).fill(PROMPT)
    painted(page, PROMPT)
    assert not [path for path in host.asked if path.startswith("dropped/")]


def test_a_file_with_a_drawing_that_is_damaged(tabs, host, tmp_path):
    page = ready(tabs(f"{host.url}sketch.html", script=NO_WORKER))
    label = Label("a house", "standin", {"Seed": 5}, b"\x89PNG\r\n\x1a\n" + bytes(60))
    file = tmp_path / "it.png"
    file.write_bytes(Marker()(Image.new("RGB", (8, 8)), "png", label, keep=True))
    page.locator("#sdxs-brought").set_input_files(file)
    reached(page, "a house (seed 5)")


def drop(page: Page, folder: Path) -> None:
    data = {"items": [], "files": [str(folder)], "dragOperationsMask": 1}
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        event = {"type": kind, "x": 300, "y": 300, "data": data}
        session.send("Input.dispatchDragEvent", event)


def test_a_mishap_is_told_and_nothing_is_lost(tabs, host):
    page = ready(tabs(f"{host.url}index.html", script=NO_WORKER))
    prompt(page).fill(PROMPT)
    before = painted(page, PROMPT)
    prompt(page).fill("memory")
    expect(note(page)).to_have_text("There is not enough memory for this.")
    page.get_by_label("Seed", exact=True).fill("x")
    expect(note(page)).to_contain_text("Seed must be a whole number from 0 to 9223372036854775807")
    assert page.locator("#sdxs-picture").get_attribute("src") == before


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index.html", "sketch.html"])
def test_nothing_grave(name, scheme, tabs, host):
    options = {"color_scheme": scheme, "reduced_motion": "reduce"}
    page = tabs(f"{host.url}{name}", script=NO_WORKER, **options)
    prompt(page).fill("a cat and a dog")
    ready(page)
    painted(page, "a cat and a dog")
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    assert [rule["id"] for rule in found if rule["impact"] != "minor"] == []


def test_it_can_be_installed(tabs, host, light):
    session = (page := ready(tabs(f"{host.url}index.html"))).context.new_cdp_session(page)
    errors = session.send("Page.getInstallabilityErrors")["installabilityErrors"]
    assert {error["errorId"] for error in errors} <= {"in-incognito"}
    assert session.send("Page.getAppManifest")["errors"] == []
    manifest = json.loads((light / "manifest.webmanifest").read_text("utf-8"))
    for icon in manifest["icons"]:
        with Image.open(light / icon["src"]) as picture:
            assert "x".join(map(str, picture.size)) == icon["sizes"]
            assert np.asarray(picture).std() > 20
    assert (light / manifest["start_url"]).is_file() and manifest["display"] == "standalone"


def test_what_the_site_cannot_draw_for_stays_behind(light: Path) -> None:
    info = json.loads((light / "model" / "sdxs.json").read_text())
    assert info["controls"] == info["about"]["conditions"] == ["sketch"]
    assert [*info["files"]] == [row["file"] for row in info["graphs"]]
    assert all((light / "model" / file).is_file() for file in info["files"])
