"""Pictures on the canvas: opened, dropped, pasted, from a camera, and what is none."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from sdxs.picture import encode
from sdxs.service.painting import ALONE
from tests.browser.canvas import DRAWN, alone, draw, drawing, follows
from tests.browser.conftest import note

pytestmark = pytest.mark.browser

PIXEL = """() => document.getElementById("sdxs-drawing").getContext("2d")
  .getImageData(150, 150, 1, 1).data"""

# Hands the page a file as a drop or as a paste does.
GIVE = """
([kind, name, type, data, onto]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type }));
  const where = document.querySelector(onto);
  where.dispatchEvent(kind === "drop"
    ? new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true })
    : new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true }));
}
"""


@pytest.fixture
def page(visit, address) -> Page:
    return alone(visit(address))


def png(side: int = 64, shade: int = 90) -> bytes:
    picture = Image.new("RGB", (side, side), "white")
    picture.paste((shade, 20, 20), (8, 8, side // 2, side // 2))
    return encode(picture, "png")


def png_of_sides(side: int) -> bytes:
    """Of few bytes, for all its pixels."""
    file = io.BytesIO()
    Image.new("1", (side, side)).save(file, "PNG")
    return file.getvalue()


def give(
    page: Page, kind: str, name: str, type_: str, data: bytes, onto: str = "#sdxs-drawing"
) -> None:
    page.evaluate(GIVE, [kind, name, type_, base64.b64encode(data).decode(), onto])


def test_of_pictures_opened_one_after_the_other_the_newest_counts(page):
    page.evaluate(
        """() => {
          const own = createImageBitmap;
          window.createImageBitmap = async (file) => {
            if (file.name === "slow.png") await new Promise((done) => (window.go = done));
            return own(file);
          };
        }"""
    )
    give(page, "drop", "slow.png", "image/png", png(shade=200))
    page.wait_for_function("Boolean(window.go)")
    give(page, "paste", "fast.png", "image/png", png(shade=90))
    page.wait_for_function(f"({PIXEL})()[0] === 90")
    page.evaluate("go()")
    page.wait_for_timeout(200)
    assert page.evaluate(f"({PIXEL})()")[0] == 90


def test_a_picture_may_fall_anywhere(page):
    give(page, "drop", "a.png", "image/png", png(), onto="#sdxs-picture")
    page.wait_for_function(f"({PIXEL})()[0] === 90")


@pytest.mark.parametrize("way", ["file", "drop", "paste"])
def test_a_picture_is_opened_onto_the_canvas(page, way, tmp_path):
    if way == "file":
        (tmp_path / "a.png").write_bytes(png())
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Open a drawing").click()
        chooser.value.set_files(tmp_path / "a.png")
    else:
        give(page, way, "a.png", "image/png", png())
    expect(page.locator("#sdxs-control")).to_be_visible()
    shown = np.asarray(drawing(page))
    assert shown[150, 150].tolist() == [90, 20, 20] and shown[400, 400].tolist() == [255] * 3
    page.get_by_role("button", name="Undo", exact=True).click()
    alone(page)


FILES = (  # name, type, and what it is
    ("a.jfif", "", "jpeg"),
    ("a.jpg", "image/jpg", "jpeg"),
    ("a.jpg", "image/pjpeg", "jpeg"),
    ("a.jpg", "image/jpeg", "png"),  # whoever named it was wrong
    ("a.svg", "image/svg+xml", "webp"),
    ("", "", "webp"),
)


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_picture_is_what_its_first_bytes_say(page, kind):
    for number, (name, type_, format) in enumerate(FILES):
        shade = 60 + 30 * number  # no two alike
        give(page, kind, name, type_, encode(Image.open(io.BytesIO(png(shade=shade))), format))
        page.wait_for_function(f"Math.abs(({PIXEL})()[0] - {shade}) < 6")


def test_text_pasted_with_a_picture_of_it_is_text(page):
    """As word processors put it on the clipboard."""
    blank = page.evaluate(DRAWN)
    stopped = page.evaluate(
        """() => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(9)], "a.png", { type: "image/png" }));
          transfer.items.add("some words", "text/plain");
          return !document.querySelector("#sdxs-prompt textarea").dispatchEvent(new ClipboardEvent(
            "paste", { clipboardData: transfer, bubbles: true, cancelable: true }));
        }"""
    )
    assert not stopped  # the browser goes on to paste
    assert page.evaluate(DRAWN) == blank
    expect(note(page)).to_have_text(ALONE)


NO_PICTURES = (
    ("a.gif", "image/gif", b"GIF89a", "a.gif is no PNG"),
    ("page.html", "text/html", b"<html>", "page.html is no PNG"),
    ("a.png", "image/png", b"<html>no picture</html>", "a.png is no PNG"),
    ("a.svg", "image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "a.svg is no PNG"),
    ("a.jpg", "", b"", "a.jpg is no PNG"),
    ("b.png", "image/png", png()[:60], "b.png cannot be opened"),
    ("c.png", "image/png", png_of_sides(20_000), "c.png has 20000 × 20000 pixels: at most 64"),
)


def test_what_is_no_picture_is_named_and_the_next_stroke_works(page):
    for number, (name, type_, data, words) in enumerate(NO_PICTURES):
        give(page, "drop", name, type_, data)
        expect(note(page)).to_contain_text(words)
        expect(note(page)).to_have_attribute("data-kind", "error")
        draw(page, (0.2, 0.1 + 0.1 * number), (0.8, 0.2 + 0.1 * number))
        follows(page)
        expect(note(page)).to_be_empty()


CAMERAS = """
window.tracks = [];
const own = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (wanted) => {
  const stream = await own(wanted);
  window.tracks.push(...stream.getTracks());
  return stream;
};
"""
ENDED = "tracks.length && tracks.every((track) => track.readyState === 'ended')"


def test_the_camera_streams_until_it_is_stopped(visit, address):
    page = visit(address, permissions=["camera"], script=CAMERAS)
    alone(page)
    camera = page.get_by_role("button", name="Camera")
    page.get_by_label("edges of a photo").check()
    page.evaluate("seen.length = 0")
    camera.click()
    page.wait_for_function("seen.length >= 10")
    assert len(set(page.evaluate("seen"))) >= 5  # the test picture moves
    camera.click()
    expect(camera).to_have_attribute("aria-pressed", "false")
    assert page.evaluate(ENDED)
    page.wait_for_timeout(500)
    last = page.evaluate(DRAWN)
    page.wait_for_timeout(300)
    assert page.evaluate(DRAWN) == last
    page.get_by_role("button", name="Undo", exact=True).click()
    alone(page)
    camera.click()
    page.wait_for_function(f"({DRAWN})() !== {last!r}")
    draw(page, (0.2, 0.2), (0.8, 0.7))  # a stroke freezes the picture
    expect(camera).to_have_attribute("aria-pressed", "false")
    assert page.evaluate(ENDED)
    page.evaluate("() => { HTMLMediaElement.prototype.play = () => new Promise(() => {}); }")
    camera.click()  # of a camera that is there and shows nothing
    page.wait_for_function("tracks.length === 3")
    camera.click()
    assert page.evaluate(ENDED)


def test_no_leave_for_the_camera_is_explained(page):
    page.get_by_role("button", name="Camera").click()
    expect(note(page)).to_contain_text("camera is not allowed")
    expect(page.get_by_role("button", name="Camera")).to_have_attribute("aria-pressed", "false")
    draw(page, (0.2, 0.2), (0.8, 0.7))
    follows(page)
