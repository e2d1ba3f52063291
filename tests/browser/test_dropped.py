"""Files that are dropped, pasted or chosen: what made them comes back, and photos stay private."""

import base64
import io
import json

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import Page, expect

from tests.browser import test_canvas_pictures as canvas_pictures
from tests.browser.canvas import draw, drawing, follows
from tests.browser.conftest import HANDHELD, PROMPT, note, wait_for
from tests.browser.standin import Follower, Standin
from tests.browser.test_canvas_pictures import PIXEL, png

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 844, **HANDHELD}
STEPS = "a ball\nSteps: 1, Seed: 7, Size: 64x64, Style: ink"
WORDS = b"UNICODE\0" + STEPS.encode("utf-16-be")
USER_COMMENT, EXIF_IFD = 0x9286, 0x8769

# In the server's place, what reads a file; `asked` remembers what it was given.
READS = """
() => {
  window.asked = [];
  sdxs.server.read = async (given) => {
    asked.push(given);
    const request = { prompt: "a ball", seed: "7", style: "ink" };
    return { request, note: "Steps left out: there is one.", kind: "hint" };
  };
}
"""
NOTE = "Steps left out: there is one."


def give(page: Page, kind: str, name: str, data: bytes) -> None:
    canvas_pictures.give(page, kind, name, "", data, onto="#sdxs-picture")


def made(format: str) -> bytes:
    """A picture that says how it was made, as other programs write it."""
    file = io.BytesIO()
    picture = Image.radial_gradient("L").convert("RGB")
    if format == "png":
        info = PngInfo()
        info.add_text("parameters", STEPS)
        picture.save(file, "PNG", pnginfo=info)
        return file.getvalue()
    exif = Image.Exif()
    exif.get_ifd(EXIF_IFD)[USER_COMMENT] = WORDS
    picture.save(file, format.upper(), exif=exif)
    return file.getvalue()


def restored(page: Page) -> None:
    expect(note(page)).to_have_text(NOTE)
    expect(page.get_by_label("Prompt")).to_have_value("a ball")
    expect(page.get_by_label("Seed")).to_have_value("7")


def test_a_file_that_comes_before_the_page_has_begun(visit, url):
    given = json.dumps(["paste", "a.png", "", base64.b64encode(made("png")).decode(), "body"])
    early = f"""const early = setInterval(() => {{
      if (window.sdxsDropped) ({canvas_pictures.GIVE})({given}, clearInterval(early));
    }}, 1);"""
    page = visit(url, script=early)
    wait_for(page, Standin.draw("a ball", 7))


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_what_made_a_picture_comes_back_and_its_pixels_stay(visit, url, kind, format):
    page = visit(url)
    page.evaluate(READS)
    give(page, kind, f"a.{format}", made(format))
    wait_for(page, Standin.draw("a ball", 7, style="ink"))
    restored(page)
    expect(page.get_by_role("radio", name="ink")).to_be_checked()
    [sent] = page.evaluate("asked")
    assert sent["name"] == f"a.{format}"
    file = base64.b64decode(sent["file"].partition(",")[2])
    assert len(file) < 800 and len(file) < len(made(format)) / 2
    with Image.open(io.BytesIO(file)) as picture:
        picture.load() if format != "jpeg" else None
        said = picture.info.get("parameters") or picture.getexif().get_ifd(EXIF_IFD)[USER_COMMENT]
        assert picture.format == format.upper() and said in (STEPS, WORDS)


@pytest.mark.parametrize("device", [{}, PHONE], ids=["desktop", "phone"])
def test_a_file_is_chosen(visit, url, device, tmp_path):
    page = visit(url, **device)
    page.evaluate(READS)
    (tmp_path / "a.png").write_bytes(made("png"))
    for _ in range(2):  # the same one, too
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="From a file").click()
        chooser.value.set_files(tmp_path / "a.png")
        restored(page)
        page.get_by_label("Prompt").fill("")


def test_a_picture_that_says_nothing_is_not_sent(visit, url):
    page = visit(url)
    page.evaluate(READS)
    give(page, "drop", "holiday.png", png())
    expect(note(page)).to_have_text("holiday.png says nothing of how it was made.")
    give(page, "paste", "poem.txt", b"text")
    expect(note(page)).to_have_text("poem.txt is no PNG, JPEG or WebP picture.")
    assert page.evaluate("asked") == []


def test_what_the_server_says_of_a_file_is_said(visit, url):
    page = visit(url)
    said = "{ note: 'It is broken.', kind: 'error' }"
    page.evaluate(f"() => {{ sdxs.server.read = async () => ({said}); }}")
    give(page, "drop", "a.png", made("png"))
    expect(note(page)).to_have_text("It is broken.")
    page.evaluate("() => { sdxs.server.read = () => Promise.reject(new Error('gone')); }")
    give(page, "drop", "a.png", made("png"))
    expect(note(page)).to_have_text("The server does not answer; try again in a moment.")


def test_the_newest_file_counts(visit, url):
    page = visit(url)
    page.evaluate(
        """() => {
          sdxs.server.read = async ({ name }) => {
            if (name === "slow.png") await new Promise((done) => (window.go = done));
            return { request: { prompt: name } };
          };
        }"""
    )
    give(page, "drop", "slow.png", made("png"))
    page.wait_for_function("Boolean(window.go)")
    give(page, "drop", "fast.png", made("png"))
    wait_for(page, Standin.draw("fast.png", 0))
    page.evaluate("go()")
    page.wait_for_timeout(200)
    expect(page.get_by_label("Prompt")).to_have_value("fast.png")


def test_on_the_canvas_page_what_says_nothing_is_drawn(visit, address):
    page = visit(address)
    page.evaluate(READS)
    give(page, "drop", "a.png", png())
    page.wait_for_function(f"({PIXEL})()[0] === 90")
    give(page, "drop", "b.png", made("png"))
    wait_for(page, Follower.follow("a ball", 7))  # there was no drawing in it
    page.evaluate("() => { sdxs.server.read = async () => ({ note: 'b.png says nothing.' }); }")
    give(page, "drop", "b.png", made("png"))
    expect(page.locator("#sdxs-control")).to_be_visible()


def test_the_canvas_page_opens_a_drawing_whatever_it_says(visit, address, tmp_path):
    page = visit(address)
    page.evaluate(READS)
    (tmp_path / "a.png").write_bytes(made("png"))
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Open a drawing").click()
    chooser.value.set_files(tmp_path / "a.png")
    page.wait_for_function(f"({PIXEL})()[0] < 250")
    expect(page.locator("#sdxs-control")).to_be_visible()
    assert page.evaluate("asked") == []


def downloaded(page: Page) -> bytes:
    with page.expect_download() as download:
        page.get_by_role("button", name="Download PNG").click()
    return download.value.path().read_bytes()


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_download_brings_another_visitor_the_same_picture(visit, url, kind):
    """The server reads it: nothing stands in."""
    prompt, seed = "a house & a tree, 50% #1 🏠", 2**63 - 1
    wanted = Standin.draw(prompt, seed, style="ink")
    page = visit(url)
    page.get_by_label("Prompt").fill(prompt)
    page.get_by_label("Seed").fill(str(seed))
    page.get_by_role("radio", name="ink").check()
    wait_for(page, wanted)
    other = visit(url)
    give(other, kind, "a.png", downloaded(page))
    wait_for(other, wanted)
    expect(other.get_by_label("Prompt")).to_have_value(prompt)
    expect(other.get_by_label("Seed")).to_have_value(str(seed))
    expect(other.get_by_role("radio", name="ink")).to_be_checked()
    expect(note(other)).to_be_empty()


def test_a_download_brings_its_drawing(visit, address):
    page = visit(address)
    draw(page, (0.2, 0.2), (0.8, 0.7))
    follows(page)
    other = visit(address)
    give(other, "drop", "a.png", downloaded(page))
    wait_for(
        other, Follower.follow(PROMPT, 0, "sketch", Follower.condition("sketch", drawing(page)))
    )
    assert drawing(other).tobytes() == drawing(page).tobytes()
    expect(note(other)).to_be_empty()
