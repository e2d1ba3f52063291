"""Stored graphs: found again when they are whole and the same, thrown away when not."""

import json
import os
from pathlib import Path

import pytest

from sdxs.engines import cache

FACTS = {"spec": {"decoder": "tiny", "styles": ["ink"]}, "weights": "abc"}


def write(folder: Path) -> None:
    (folder / "graph.xml").write_text("<net/>")
    (folder / "graph.bin").write_bytes(bytes(5_000_000))


def test_what_is_kept_is_found(tmp_path: Path) -> None:
    root = tmp_path / "not" / "there"
    assert cache.found(FACTS, root) is None
    folder = cache.keep(FACTS, root, write)
    assert cache.found(FACTS, root) == folder and (folder / "graph.xml").is_file()
    assert cache.found({**FACTS, "weights": "abd"}, root) is None
    assert cache.keep(FACTS, root, write) == folder  # once more
    assert [path.name for path in root.iterdir()] == [folder.name]


@pytest.mark.parametrize("fault", ["cut", "changed", "gone", "foreign", "entry", "no entry"])
def test_what_is_torn_or_foreign_goes(
    fault: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = cache.keep(FACTS, tmp_path, write)
    entry = folder / cache.ENTRY
    if fault == "cut":
        os.truncate(folder / "graph.bin", 4_000_000)
    elif fault == "changed":
        with (folder / "graph.bin").open("r+b") as file:
            file.seek(4_500_000)
            file.write(b"\1")
    elif fault == "gone":
        (folder / "graph.bin").unlink()
    elif fault == "foreign":
        told = json.loads(entry.read_text())
        entry.write_text(json.dumps(told | {"facts": {"weights": "other"}}))
    elif fault == "entry":
        entry.write_text("[1")
    else:
        entry.unlink()
    assert cache.found(FACTS, tmp_path) is None and not folder.exists()
    assert "is damaged and made anew" in caplog.text
    assert cache.found(FACTS, tmp_path) is None  # said once
    assert len(caplog.records) == 1


def test_nothing_half_done_stays(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        write(folder)
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        cache.keep(FACTS, tmp_path, fail)
    assert list(tmp_path.iterdir()) == []


def test_those_not_used_for_longest_go_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "LARGEST", 11_000_000)
    folders = []
    for i in range(2):
        folders.append(cache.keep({"n": i}, tmp_path, write))
        os.utime(folders[i], (i, i))
    assert cache.found({"n": 0}, tmp_path)  # used now
    folders.append(cache.keep({"n": 2}, tmp_path, write))
    assert [folder.exists() for folder in folders] == [True, False, True]


def test_a_cache_that_is_only_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = cache.keep(FACTS, tmp_path, write)

    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "utime", refuse)
    assert cache.found(FACTS, tmp_path) == folder


def test_what_was_left_behind_goes(tmp_path: Path) -> None:
    old, new = tmp_path / f"{cache.UNFINISHED}a", tmp_path / f"{cache.UNFINISHED}b"
    for folder in (old, new):
        folder.mkdir()
    os.utime(old, (1, 1))
    cache.keep(FACTS, tmp_path, write)
    assert new.exists() and not old.exists()


def test_fingerprints(tmp_path: Path) -> None:
    one, two = tmp_path / "a", tmp_path / "b"
    one.write_bytes(b"12")
    two.write_bytes(b"3")
    files = {"unet/a": one, "b": two}
    first, stamps = cache.fingerprint(files), cache.stamps(files)
    assert cache.fingerprint(dict(reversed(files.items()))) == first
    assert cache.fingerprint({"unet/c": one, "b": two}) != first
    one.write_bytes(b"13")
    os.utime(one, (7, 7))
    assert cache.fingerprint(files) != first and cache.stamps(files) != stamps
    one.write_bytes(b"12")
    os.utime(one, (8, 8))
    assert cache.fingerprint(files) == first


def test_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDXS_CACHE", str(tmp_path / "own"))
    assert cache.cache_folder() == tmp_path / "own"
    monkeypatch.setenv("SDXS_CACHE", "~/own")
    assert cache.cache_folder() == Path.home() / "own"
    monkeypatch.delenv("SDXS_CACHE")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.cache_folder() == tmp_path / "sdxs"
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache.cache_folder() == tmp_path / "local" / "sdxs"


def test_what_is_compiled_of_a_graph_lies_beside_it(tmp_path: Path) -> None:
    folder = cache.keep(FACTS, tmp_path, write)
    (folder / cache.COMPILED).mkdir()
    (folder / cache.COMPILED / "1.blob").write_bytes(b"of a runtime that checks it by itself")
    assert cache.found(FACTS, tmp_path) == folder


def test_without_a_home_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", no_home)
    monkeypatch.delenv(cache.PLACE)
    with pytest.raises(OSError, match=f"there is no home for .*{cache.PLACE} may name a folder"):
        cache.cache_folder()


def test_names_that_are_no_utf8_count(tmp_path: Path) -> None:
    (tmp_path / "ink").write_text("a")
    names = ["styles/caf\udce9", "styles/caf\udce8"]
    assert len({cache.fingerprint({name: tmp_path / "ink"}) for name in names}) == 2
