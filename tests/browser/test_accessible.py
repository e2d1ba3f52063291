"""What axe finds on the pages: nothing serious, in light and dark, on a desk and on a phone."""

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from sdxs.page.ui import text_page
from sdxs.service.about import About
from tests.browser.canvas import draw
from tests.browser.conftest import HANDHELD, PROMPT
from tests.browser.standin import Standin
from tests.programs import served

pytestmark = pytest.mark.browser

GRAVE = ("serious", "critical")
DESK, PHONE = {}, {"width": 390, "height": 844, **HANDHELD}


@pytest.fixture(scope="module")
def styled(standin: Standin) -> Iterator[str]:
    about = About(examples=(PROMPT,), styles=("anime", "ink"), words={"things": ("ball",)})
    with served(text_page(standin, about=about, style="anime")) as address:
        yield address


def findings(page: Page, *impacts: str) -> list[str]:
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{rule['id']}: {node['target']}"
        for rule in found
        for node in rule["nodes"]
        if rule["impact"] in impacts
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("name", ["url", "styled", "address"])
def test_nothing_grave(visit, request, name, size, scheme):
    page = visit(
        request.getfixturevalue(name), color_scheme=scheme, reduced_motion="reduce", **size
    )
    page.get_by_label("Prompt").fill("a cat and a dog")
    if name == "styled":
        page.get_by_label("Compare").check()
    if name == "address":
        draw(page, (0.2, 0.2), (0.8, 0.7))
    expect(page.locator("#sdxs-heard")).to_contain_text("a cat and a dog")
    assert findings(page, "moderate", *GRAVE) == []
    page.get_by_role("button", name="Keys").click()
    assert findings(page, *GRAVE) == []
    page.keyboard.press("Escape")
    page.locator("#sdxs-full").click()
    assert findings(page, *GRAVE) == []
