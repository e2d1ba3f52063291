"""The rewind strip: pictures that passed come back, whole, and outlive reloads."""

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import HANDHELD, wait_for
from tests.browser.standin import Standin

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 844, **HANDHELD}
REST_MS = 900  # after which a hand rests

# The page's stage answers at once, and for every seed with another picture.
QUICK = """
async (count) => {
  sdxs.server.paint = async ({ seed }) => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 64 });
    const context = canvas.getContext("2d");
    context.fillStyle = `hsl(${Number(seed) * 47} 80% 50%)`;
    context.fillRect(0, 0, 64, 64);
    return { picture: canvas.toDataURL("image/jpeg"), ms: 1, note: "", kind: "hint" };
  };
  for (let seed = 0; seed < count; seed += 1) {
    const shown = new Promise((done) =>
      document.addEventListener("sdxs:shown", done, { once: true }));
    sdxs.restore({ prompt: "a burst", seed: String(seed) });
    await shown;
  }
}
"""
STORED = """
() => new Promise((done) => {
  const opened = indexedDB.open("sdxs", 1);
  opened.onsuccess = () => {
    const all = opened.result.transaction("pictures").objectStore("pictures").getAll();
    all.onsuccess = () => { opened.result.close(); done(all.result); };
  };
})
"""


def strip(page: Page) -> Locator:
    return page.get_by_role("listbox").get_by_role("option")


def names(page: Page) -> list[str]:
    return [one.get_attribute("title") or "" for one in strip(page).all()]


def paint(page: Page, prompt: str, seed: int = 0) -> None:
    """Type a prompt, and rest until its picture is in the strip, in front."""
    page.get_by_label("Prompt").fill(prompt)
    expect(strip(page).first).to_have_attribute("title", f"{prompt}, seed {seed}")


def shows(page: Page, prompt: str, seed: int = 0, **chosen) -> None:
    wait_for(page, Standin.draw(prompt, seed, **chosen))
    expect(page.get_by_label("Prompt")).to_have_value(prompt)
    expect(page.get_by_label("Seed")).to_have_value(str(seed))


def again(page: Page) -> None:
    page.reload()
    page.get_by_label("Prompt").wait_for()


@pytest.mark.parametrize("device", [{}, PHONE], ids=["desktop", "phone"])
def test_a_picture_comes_back_with_all_that_made_it_and_unasked(visit, url, standin, device):
    page = visit(url, **device)
    page.get_by_role("radio", name="ink").check()
    paint(page, "a cone")
    page.get_by_role("radio", name="none").check()
    page.get_by_label("Seed").fill("5")
    paint(page, "a ball", 5)
    before = names(page)
    made = len(standin.made)
    page.get_by_role("option", name="a cone, seed 0").last.click()
    shows(page, "a cone", style="ink")
    expect(page.get_by_role("radio", name="ink")).to_be_checked()
    expect(page.locator("[aria-selected=true]")).to_have_attribute("title", "a cone, seed 0")
    page.get_by_role("option", name="a ball, seed 5").click()
    shows(page, "a ball", 5)
    page.wait_for_timeout(REST_MS)
    assert len(standin.made) == made
    assert names(page)[0] == "a ball, seed 5" and len(names(page)) == len(before)
    paint(page, "a ball!", 5)
    assert names(page)[1] == "a ball, seed 5"


def test_by_keyboard(visit, url):
    page = visit(url)
    for prompt in ("one", "two", "three"):
        paint(page, prompt)
    strip(page).first.focus()
    for key, prompt in [
        *(("ArrowRight", "two"), ("ArrowRight", "one"), ("ArrowRight", "one")),
        *(("Home", "three"), ("End", "one"), ("ArrowLeft", "two")),
    ]:
        page.keyboard.press(key)
        shows(page, prompt)
        expect(page.locator("[aria-selected=true]:focus")).to_have_attribute(
            "title", f"{prompt}, seed 0"
        )
    expect(page.locator("[role=option][tabindex='0']")).to_have_count(1)
    page.keyboard.press("Delete")
    expect(strip(page)).to_have_count(2)
    assert names(page) == ["three, seed 0", "one, seed 0"]
    shows(page, "two")  # it is on show still
    expect(page.locator(":focus")).to_have_attribute("title", "one, seed 0")
    page.keyboard.press("Enter")
    shows(page, "one")


def test_nothing_moves_while_somebody_types(visit, url):
    page = visit(url)
    paint(page, "a cone")
    before = page.locator("#sdxs-strip").inner_html()
    page.get_by_label("Prompt").press_sequentially(" and a ball", delay=120)
    page.wait_for_function("sdxs.shown.prompt !== 'a cone'")
    assert page.locator("#sdxs-strip").inner_html() == before
    expect(strip(page).first).to_have_attribute("title", "a cone and a ball, seed 0")


def test_it_takes_no_more_room_when_pictures_come(visit, url):
    page = visit(url)
    lower = page.locator(".sdxs-chips.examples")
    before = lower.bounding_box()
    paint(page, "a cone")
    assert lower.bounding_box() == before


def test_what_somebody_looks_at_stays_under_the_hand(visit, url):
    page = visit(url)
    page.evaluate(QUICK, 20)
    expect(strip(page)).to_have_count(20)
    row = page.locator("#sdxs-strip")
    row.hover()
    row.evaluate("row => (row.scrollLeft = 300)")
    left = strip(page).nth(8).bounding_box()
    key = strip(page).nth(8).get_attribute("data-key")
    page.evaluate("sdxs.restore({prompt: 'a burst', seed: '77'})")
    expect(strip(page)).to_have_count(21)
    assert page.locator(f"[data-key='{key}']").bounding_box() == left
    page.mouse.move(10, 10)
    page.evaluate("sdxs.restore({prompt: 'a burst', seed: '78'})")
    expect(strip(page)).to_have_count(22)
    assert row.evaluate("row => row.scrollLeft") == 0


def test_of_two_hundred_pictures_thirty_stay_and_memory_does_not_grow(visit, url):
    page = visit(url)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def heap() -> float:
        session.send("HeapProfiler.collectGarbage")
        told = session.send("Performance.getMetrics")["metrics"]
        return next(one["value"] for one in told if one["name"] == "JSHeapUsedSize") / 1e6

    page.evaluate(
        """() => {
          window.addresses = 0;
          const [make, revoke] = [URL.createObjectURL, URL.revokeObjectURL];
          URL.createObjectURL = (...given) => (addresses++, make.apply(URL, given));
          URL.revokeObjectURL = (...given) => (addresses--, revoke.apply(URL, given));
        }"""
    )
    page.evaluate(QUICK, 100)
    expect(strip(page)).to_have_count(30)
    before = heap()
    page.evaluate(QUICK, 200)
    expect(strip(page).first).to_have_attribute("title", "a burst, seed 199")
    expect(strip(page)).to_have_count(30)
    page.wait_for_timeout(300)
    assert len(page.evaluate(STORED)) == 30
    assert page.evaluate("addresses") == 0
    assert heap() < before + 2
