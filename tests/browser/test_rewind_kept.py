"""The rewind strip outlives reloads, restarts and tabs, as far as the browser stores anything."""

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.canvas import alone, draw, drawing, follows
from tests.browser.conftest import FLAGS, PROMPT, executable, note, wait_for
from tests.browser.standin import Follower, Standin
from tests.browser.test_rewind import PHONE, REST_MS, STORED, again, names, paint, shows, strip

pytestmark = pytest.mark.browser


def test_a_reload_brings_back_the_picture_unasked_and_the_strip(visit, url, standin):
    page = visit(url)
    page.get_by_role("radio", name="ink").check()
    paint(page, "a cone")
    paint(page, "a ball")
    page.get_by_role("option", name="a cone, seed 0").click()
    shows(page, "a cone", style="ink")
    made = len(standin.made)
    again(page)
    shows(page, "a cone", style="ink")
    expect(strip(page).nth(0)).to_have_attribute("title", "a ball, seed 0")
    expect(strip(page).nth(1)).to_have_attribute("title", "a cone, seed 0")
    expect(page.locator("[aria-selected=true]")).to_have_attribute("title", "a cone, seed 0")
    page.wait_for_timeout(REST_MS)
    assert len(standin.made) == made


def test_a_reload_at_once_loses_nothing(visit, url):
    page = visit(url)
    page.get_by_label("Prompt").fill("a cone")
    wait_for(page, Standin.draw("a cone", 0))
    again(page)
    shows(page, "a cone")
    expect(strip(page).first).to_have_attribute("title", "a cone, seed 0")


@pytest.mark.parametrize("device", [{}, PHONE], ids=["desktop", "phone"])
def test_the_drawing_survives_and_comes_back(visit, address, device):
    page = visit(address, **device)
    page.get_by_label("Prompt").fill("a cone")
    draw(page, (0.2, 0.2), (0.8, 0.7))
    follows(page, prompt="a cone")
    first = drawing(page).tobytes(), page.locator("#sdxs-picture").get_attribute("src")
    again(page)
    page.wait_for_function("sdxs.shown?.drawing")
    follows(page, prompt="a cone")
    assert drawing(page).tobytes() == first[0]
    page.get_by_label("Clear").click()
    draw(page, (0.9, 0.2), (0.1, 0.7))
    follows(page, prompt="a cone")
    second = drawing(page).tobytes()
    page.wait_for_timeout(REST_MS)
    strip(page).filter(has=page.locator(f"[src='{first[1]}']")).click()
    shown = "document.getElementById('sdxs-picture').src"
    page.wait_for_function(f"src => {shown} === src", arg=first[1])
    follows(page, prompt="a cone")
    assert drawing(page).tobytes() == first[0]
    again(page)
    page.wait_for_function(f"src => {shown} === src", arg=first[1])
    assert drawing(page).tobytes() == first[0]
    strip(page).first.click()
    page.wait_for_function(
        "src => document.getElementById('sdxs-picture').src !== src", arg=first[1]
    )
    assert drawing(page).tobytes() == second


def test_a_restarted_browser_has_the_strip(browser: Browser, url, tmp_path):
    kind = browser.browser_type
    for prompt in ("a cone", "a ball"):
        context = kind.launch_persistent_context(
            str(tmp_path), executable_path=executable(kind.executable_path), args=FLAGS
        )
        page = context.new_page()
        page.goto(url)
        if prompt == "a ball":
            expect(strip(page).first).to_have_attribute("title", "a cone, seed 0")
            expect(page.get_by_label("Prompt")).to_have_value("")  # a new tab begins anew
        paint(page, prompt)
        page.wait_for_timeout(300)
        context.close()


def test_tabs_do_not_mix_and_a_new_one_takes_over_from_a_closed_one(visit, url):
    page = visit(url)
    paint(page, "a cone")
    other = page.context.new_page()
    other.goto(url)
    other.get_by_label("Prompt").wait_for()
    expect(strip(other)).to_have_count(0)
    paint(other, "a ball")
    paint(page, "a cube")
    assert names(other) == ["a ball, seed 0"]
    again(other)
    expect(strip(other)).to_have_count(1)
    assert names(other) == ["a ball, seed 0"]
    with page.expect_popup() as opened:  # a copy of the tab, with all that the tab keeps
        page.evaluate("open(location.href)")
    copy = opened.value
    copy.get_by_label("Prompt").wait_for()
    page.wait_for_timeout(REST_MS)
    expect(strip(copy)).to_have_count(0)
    other.close()
    third = page.context.new_page()
    third.goto(url)
    expect(strip(third)).to_have_count(1)
    assert names(third) == ["a ball, seed 0"]


def test_clearing_leaves_nothing_behind(visit, url):
    page = visit(url)
    other = page.context.new_page()
    other.goto(url)
    paint(other, "a secret of a closed tab")
    other.close()
    paint(page, "a secret")
    clear = page.get_by_role("button", name="Forget all")
    clear.click()
    expect(strip(page)).to_have_count(1)
    page.get_by_role("button", name="Sure?").click()
    expect(strip(page)).to_have_count(0)
    page.wait_for_timeout(300)
    assert page.evaluate(STORED) == []
    wait_for(page, Standin.draw("a secret", 0))
    paint(page, "another")
    page.get_by_role("button", name="Forget", exact=True).click()
    expect(strip(page)).to_have_count(0)


def test_what_was_forgotten_does_not_come_back(visit, url):
    page = visit(url)
    paint(page, "a secret")
    page.get_by_role("button", name="Forget all").click()
    page.get_by_role("button", name="Sure?").click()
    expect(strip(page)).to_have_count(0)
    again(page)
    expect(page.get_by_label("Prompt")).to_have_value("")
    expect(strip(page)).to_have_count(0)


ALONE = "Pictures go with this tab: the browser stores nothing."
FORBIDDEN = """
Object.defineProperty(window, "indexedDB", {
  get() { throw new DOMException("denied", "SecurityError"); }
});
"""
NEVER = "indexedDB.open = () => ({});"  # no answer
UNLOCKED = 'Object.defineProperty(navigator, "locks", { value: undefined });'


@pytest.mark.parametrize(
    ("full", "said"),
    [(False, ALONE), (True, "Pictures go with this tab: the browser's storage is full.")],
    ids=["forbidden", "full"],
)
def test_without_storage_it_lasts_as_long_as_the_tab(visit, url, full, said):
    page = visit(url, script="" if full else FORBIDDEN)
    if full:
        about = {"origin": url.rstrip("/"), "quotaSize": 1000}
        page.context.new_cdp_session(page).send("Storage.overrideQuotaForOrigin", about)
    page.get_by_label("Prompt").fill("a cone")
    expect(note(page)).to_have_text(said)
    paint(page, "a ball")
    page.wait_for_timeout(REST_MS)
    expect(note(page)).to_be_empty()  # once is enough
    page.get_by_role("option", name="a cone, seed 0").click()
    shows(page, "a cone")
    again(page)
    expect(strip(page)).to_have_count(0)


def test_a_database_that_does_not_answer_holds_nobody_up(visit, url):
    page = visit(url, script=NEVER)
    page.get_by_label("Prompt").fill("a cone")
    paint(page, "a ball")


SLOW = """
const open = IDBFactory.prototype.open;
IDBFactory.prototype.open = function (...name) {
  const request = {};
  setTimeout(() => {
    const real = open.apply(this, name);
    for (const event of ["onupgradeneeded", "onsuccess", "onerror"])
      real[event] = () => (Object.assign(request, { result: real.result }), request[event]?.());
  }, 2000);
  return request;
};
"""


def test_a_slow_database_loses_no_drawing_and_doubles_nothing(visit, address):
    page = alone(visit(address, script=SLOW))
    draw(page, (0.2, 0.2), (0.8, 0.7))
    follows(page)
    before = drawing(page)
    page.wait_for_timeout(2000 + REST_MS)
    there = strip(page).count()
    again(page)
    wanted = Follower.follow(PROMPT, 0, "sketch", Follower.condition("sketch", before))
    wait_for(page, wanted)
    assert drawing(page).tobytes() == before.tobytes()
    page.wait_for_timeout(REST_MS)
    expect(strip(page)).to_have_count(there)


def test_without_locks_a_tab_knows_its_own_strip(visit, url):
    page = visit(url, script=UNLOCKED)
    paint(page, "a cone")
    again(page)
    shows(page, "a cone")
    expect(strip(page)).to_have_count(1)
    other = page.context.new_page()
    other.add_init_script(UNLOCKED)
    other.goto(url)
    other.get_by_label("Prompt").wait_for()
    expect(strip(other)).to_have_count(0)
