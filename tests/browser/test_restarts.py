"""Pages whose server goes and comes back, the short form of `tests.load.restarts`."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.load import restarts

pytestmark = pytest.mark.browser


def test_pages_go_on_after_a_restart(browser: Browser, tmp_path: Path) -> None:
    assert len(restarts.run(browser, tmp_path, 1)) == 1
