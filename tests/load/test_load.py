"""The long runs under load, in their short forms."""

from tests.load import sigterm, soak


def test_sigterm_under_load() -> None:
    found = sigterm.run(1)
    assert not found.lost and not found.left and found.answered > 0
    assert found.statuses == {0}


def test_a_leak_is_found() -> None:
    assert soak.run(6, leak=10**6) > soak.MOST
