"""The static site on hosts and networks that fail, and in browsers that have no room."""

import threading

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import note
from tests.browser.web.conftest import ready
from tests.browser.web.test_site import KEPT, NO_WORKER, UNKEPT, drop
from web import build

pytestmark = pytest.mark.browser

FULL = """() => {
  const { put } = Cache.prototype;
  let room = 1;
  Cache.prototype.put = function (...given) {
    return room-- > 0 ? put.apply(this, given) : Promise.reject(new Error("full"));
  };
}"""


def test_an_update_that_breaks_off_leaves_what_is_kept(tabs, host):
    page = ready(tabs(f"{host.url}index.html"))
    assert page.evaluate(KEPT)
    worker = (build.WEB / "sw.js").read_text("utf-8")
    host.instead["sw.js"] = worker.replace("{}; // path", '{"index.html": "new"}; // path').encode()
    held = host.held["index.html"] = threading.Event()
    page.evaluate("navigator.serviceWorker.ready.then((one) => one.update())")
    host.closed = True
    held.set()
    installing = "navigator.serviceWorker.ready.then((one) => Boolean(one.installing))"
    while page.evaluate(installing):
        page.wait_for_timeout(50)
    tabs.expected += ["ERR_", "An unknown error occurred when fetching the script"]
    page.reload()
    ready(page)


def test_a_host_that_sends_nothing_is_given_up(tabs, host):
    """Or whoever asks for the same file waits for the tab that asked first, even a closed one."""
    path = "model/weights/unet.safetensors"
    worker = host.folder.joinpath("sw.js").read_text("utf-8")
    host.instead["sw.js"] = worker.replace("30_000", "1_000").encode()
    tabs.expected += ["Failed to fetch"]  # if it is given up before its tab is closed
    held = host.held[path] = threading.Event()
    first = tabs(f"{host.url}index.html")
    expect(first.locator("#sdxs-loading")).to_contain_text("Fetching the model")
    while path not in host.asked:
        first.wait_for_timeout(50)
    context = first.context
    del host.held[path]
    second = tabs(f"{host.url}sketch.html", context=context)
    first.close()
    ready(second)
    held.set()


def test_no_event_lasts_as_long_as_a_large_file(tabs, host):
    """Browsers end what takes one five minutes, which is 25 MB by 0.7 Mbit/s."""
    worker = host.folder.joinpath("sw.js").read_text("utf-8")
    forbid = "FetchEvent.prototype.waitUntil = () => { throw new Error('waits'); };"
    host.instead["sw.js"] = (forbid + worker).encode()
    page = ready(tabs(f"{host.url}index.html"))
    assert page.evaluate(KEPT)


def test_a_worker_that_does_not_come_is_not_waited_for(tabs, host):
    start = host.folder.joinpath("site/start.js").read_text("utf-8")
    host.instead["site/start.js"] = start.replace("15_000", "500").encode()
    held = host.held["sw.js"] = threading.Event()
    page = ready(tabs(f"{host.url}index.html"))
    expect(note(page)).to_contain_text(UNKEPT)
    held.set()


@pytest.mark.parametrize(
    ("path", "line"),
    [("page/page.js", "own files do not load"), ("site.json", "Site.json cannot be read")],
)
def test_a_file_that_is_missing(path, line, tabs, host):
    tabs.expected += ["404", "Cannot read properties of undefined"]
    host.instead[path] = None
    page = tabs(f"{host.url}index.html", script=NO_WORKER)
    expect(page.locator("#sdxs-start")).to_contain_text(line)


def test_an_engine_that_is_missing(tabs, host):
    tabs.expected += ["404"]
    host.instead["engine/worker.js"] = None
    page = tabs(f"{host.url}index.html", script=NO_WORKER)
    expect(note(page)).to_contain_text("What paints could not be started: look whether you are")


def test_a_folder_for_half_of_which_there_is_room(tabs, host, light):
    page = ready(tabs(f"{host.url}index.html"))
    page.evaluate(FULL)
    drop(page, light / "model")
    expect(note(page)).to_have_text("model could not be kept (full).")
    assert page.evaluate("caches.has('sdxs dropped')") is False


@pytest.mark.parametrize(
    ("link", "line"), [("seed=-1", "Seed must be"), ("style=oils", "Not known here and left out")]
)
def test_what_is_wrong_is_said_where_nothing_is_kept(link, line, tabs, host):
    page = ready(tabs(f"{host.url}index.html#prompt=a+house&{link}", script=NO_WORKER))
    page.wait_for_timeout(500)  # what else might be said
    expect(note(page)).to_contain_text(line)
