"""The long runs under load, in their short forms."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import browser  # noqa: F401
from tests.load import restarts, sigterm, soak


def test_sigterm_under_load() -> None:
    found = sigterm.run(1)
    assert not found.lost and not found.left and found.answered > 0
    assert found.statuses == {0}


def test_a_leak_is_found() -> None:
    assert soak.run(6, leak=10**6) > soak.MOST


@pytest.mark.browser
def test_pages_go_on_after_a_restart(browser: Browser, tmp_path: Path) -> None:  # noqa: F811
    assert len(restarts.run(browser, tmp_path, 1)) == 1
