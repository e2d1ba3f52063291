"""Which device is chosen, what is said of one that cannot be used, and how many threads compute."""

import logging
import re
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sdxs import InputError, granted
from sdxs.granted import granted_cores, granted_memory, threads
from sdxs.model.hardware import choose_device, limit_threads

CPU = torch.device("cpu")
V1 = {"cpu.cfs_quota_us": "300000", "cpu.cfs_period_us": "100000"}


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text + "\n")
    return folder


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)), raising=False)


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(
    ("own", "files", "cores"),
    [
        ("", {"cpu.max": "150000 100000"}, 2),
        ("", {"cpu.max": "50000 100000"}, 1),
        ("", {"cpu.max": "max 100000"}, 64),
        ("", {"cpu.max": "nonsense"}, 64),
        ("", {"cpu.max": "100000 0"}, 64),
        ("", {}, 64),
        ("", {f"cpu/{name}": text for name, text in V1.items()}, 3),
        ("", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64),
        ("0::/", {"cpu.max": "100000 100000"}, 1),
        # a service of systemd, a job of Slurm: the quota is further down, or on the way there
        ("0::/a.slice/page.service", {"a.slice/page.service/cpu.max": "200000 100000"}, 2),
        ("0::/a.slice/page.service", {"a.slice/cpu.max": "100000 100000"}, 1),
        ("0::/of/the/host", {"cpu.max": "100000 100000"}, 1),
        ("0::/other", {"a.slice/cpu.max": "100000 100000"}, 64),
        ("4:memory:/a\n3:cpu,cpuacct:/a/b", {f"cpu,cpuacct/a/{n}": t for n, t in V1.items()}, 3),
        ("3:cpu:/docker/b", {f"cpu/docker/b/{name}": text for name, text in V1.items()}, 3),
        ("3:cpuset:/b", {f"cpuset/b/{name}": text for name, text in V1.items()}, 64),
        ("nonsense", {"cpu.max": "100000 100000"}, 1),
    ],
)  # fmt: skip
def test_granted_cores(own: str, files: dict[str, str], cores: int, tmp_path: Path) -> None:
    written(tmp_path, {"own": own} | {f"groups/{name}": text for name, text in files.items()})
    assert granted_cores(tmp_path / "groups", tmp_path / "own") == cores
    assert own or granted_cores(tmp_path / "groups", tmp_path / "none") == cores


@pytest.mark.parametrize(
    ("own", "files", "granted"),
    [
        ("", {"memory.max": "max"}, 10**10),
        ("", {"memory.max": "2000"}, 2000),
        ("0::/a.slice/page.service", {"a.slice/memory.max": "3000"}, 3000),
        ("", {"memory/memory.limit_in_bytes": "9223372036854771712"}, 10**10),
        ("5:memory:/docker/b", {"memory/docker/b/memory.limit_in_bytes": "4000"}, 4000),
        ("5:cpu:/docker/b", {"cpu/docker/b/memory.limit_in_bytes": "4000"}, 10**10),
    ],
)
def test_granted_memory(
    own: str, files: dict[str, str], granted: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=10**10))
    written(tmp_path, {"own": own} | {f"groups/{name}": text for name, text in files.items()})
    assert granted_memory(tmp_path / "groups", tmp_path / "own") == granted


def test_an_affinity_below_the_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {5}, raising=False)
    assert granted_cores(written(tmp_path, {"cpu.max": "300000 100000"}), tmp_path / "none") == 1


@pytest.mark.parametrize(
    ("said", "number"),
    [("", 3), ("1", 1), ("5", 5), ("2,1", 2), (" 4 ", 4), ("0", 3), ("-1", 3), ("many", 3)],
)
def test_what_the_environment_says(said: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(granted, "granted_cores", lambda: 3)
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert threads() == number


def test_torch_gets_no_more_threads_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    try:
        for has, cores, left in [(4, 1, 1), (4, 3, 3), (2, 3, 2), (1, 64, 1)]:
            torch.set_num_threads(has)
            monkeypatch.setattr(granted, "granted_cores", lambda cores=cores: cores)
            limit_threads()
            assert torch.get_num_threads() == left
    finally:
        torch.set_num_threads(before)


OLD = "The NVIDIA driver on your system is too old (found version 11040)."


def warns() -> bool:
    warnings.warn(f"CUDA initialization: {OLD} Please\nupdate it", UserWarning, stacklevel=1)
    return False


def raises() -> bool:
    raise RuntimeError("Unexpected error from cudaGetDeviceCount()\nmore of it")


@pytest.mark.parametrize(
    ("is_available", "why"),
    [
        (warns, re.escape(f"CUDA initialization: {OLD} Please update it")),
        (raises, r"Unexpected error from cudaGetDeviceCount\(\)"),
        (lambda: True, "no kernel image is available"),
    ],
)
def test_a_card_that_cannot_be_used(
    is_available: Any, why: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_kernel(*_: Any, **__: Any) -> Any:
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\n")

    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch, "ones", no_kernel)
    with caplog.at_level(logging.WARNING), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert choose_device() == CPU
        (said,) = caplog.messages
        assert re.match(f"cuda cannot be used: .*{why}", said)
        with pytest.raises(
            InputError, match=rf"^device 'cuda:0' cannot be used: .*{why}"
        ) as caught:
            choose_device("cuda:0")
    assert "\n" not in str(caught.value) and str(caught.value).endswith('use device="auto"')


def test_devices_that_are_not_there(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device() == CPU and not caplog.records
    for name, why in (("cuda", "sees no CUDA device"), ("mps", "Macs with Apple silicon")):
        with pytest.raises(InputError, match=f"^device '{name}' cannot be used: .*{why}; use"):
            choose_device(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match="'cuda:3' cannot be used: this torch sees 1 of"):
        choose_device("cuda:3")
