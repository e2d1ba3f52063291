"""The environment's proxies: which count, without which a block runs, which one leads where."""

import os

import pytest

from sdxs import proxies


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in proxies.given():
        monkeypatch.delenv(name)


def test_a_block_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "all_proxy", "SSL_CERT_FILE", "HF_HOME"):
        monkeypatch.setenv(name, "x")
    before = dict(os.environ)
    with pytest.raises(KeyError), proxies.direct():
        assert proxies.given() == ["no_proxy"] and os.environ["HF_HOME"] == "x"
        raise KeyError
    assert dict(os.environ) == before
    with proxies.only({"all_proxy"}):
        assert proxies.given() == ["all_proxy"]
    assert dict(os.environ) == before


def test_which_are_faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    def begin() -> None:
        if bad := [name for name in os.environ if os.environ[name].startswith("bad")]:
            raise ValueError(f"{bad[0]}\nis bad")

    for name, value in (("HTTP_PROXY", "bad"), ("https_proxy", "good"), ("NO_PROXY", "bad")):
        monkeypatch.setenv(name, value)
    assert proxies.faulty(begin) == {
        "HTTP_PROXY": "HTTP_PROXY is bad",
        "NO_PROXY": "NO_PROXY is bad",
    }


@pytest.mark.parametrize(
    ("variables", "way"),
    [
        ({}, None),
        ({"HTTP_PROXY": "x"}, None),
        ({"HTTPS_PROXY": "x", "ALL_PROXY": "x"}, "HTTPS_PROXY"),
        ({"HTTPS_PROXY": "x", "https_proxy": "x"}, "https_proxy"),
        ({"all_proxy": "x", "https_proxy": ""}, "all_proxy"),
        ({"https_proxy": "x", "no_proxy": "huggingface.co"}, None),
        ({"https_proxy": "x", "no_proxy": "*"}, None),
    ],
)
def test_the_way_to_an_address(
    variables: dict[str, str], way: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert proxies.way_to("https://huggingface.co") == way
