"""Files of Hub repositories: fetched once, checked, under one bar. The only caller of the Hub.

Knows nothing of what is wanted, nor what for: that is `find`.
"""

import errno
import fnmatch
import hashlib
import logging
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub import errors as hub_errors
from huggingface_hub.utils import are_progress_bars_disabled
from tqdm import tqdm

from sdxs import proxies
from sdxs.checkpoint.variants import REFUSED, WHOLE, chosen
from sdxs.errors import CheckpointError, one_line

WEIGHTS = (WHOLE, ".bin")
FILES_OF_WEIGHTS = (WHOLE, *REFUSED)
REFUSALS = {  # HTTP status -> what helps
    401: "check HF_TOKEN, or run `hf auth login`",
    403: "check HF_TOKEN, or run `hf auth login`",
    429: "it asks to wait a while",
}
NOT_WRITABLE = (
    "cannot be stored: no permission for {}; set HF_HOME to a folder that you may write to"
)
SPARE = 100 * 2**20  # bytes that stay free on the disk

log = logging.getLogger(__name__)


def here(hub_id: str, file: str, commit: str | None = None) -> str | None:
    """The path of a file in the local cache; the network is not asked."""
    path = huggingface_hub.try_to_load_from_cache(hub_id, file, revision=commit)
    return path if isinstance(path, str) else None


def repository(
    name: str,
    hub_id: str,
    revision: str | None,
    wanted: tuple[str, ...],
    *,
    whatever_its_name: bool = False,
) -> Path:
    """The local folder of a Hub repository with the files that are needed, each one checked.

    name: what a person called it. wanted: patterns of files. whatever_its_name: where no weights
    match, the repository's only safetensors file will do. Raises CheckpointError.
    """
    page = f"https://huggingface.co/{hub_id}"
    try:
        return _download(name, hub_id, revision, wanted, whatever_its_name)
    except CheckpointError:
        raise
    except hub_errors.GatedRepoError:
        problem = f"needs permission: ask for it at {page}, then run `hf auth login`"
    except hub_errors.RevisionNotFoundError:
        problem = f"has no revision {revision}: see {page}"
    except hub_errors.RepositoryNotFoundError:
        problem = f"is not on the Hugging Face Hub, nor a folder here: check the spelling at {page}"
    except (hub_errors.LocalEntryNotFoundError, hub_errors.OfflineModeIsEnabled):
        proxy = proxies.way_to(constants.ENDPOINT)
        remedy = f"is the proxy right that {proxy} names?" if proxy else "connect and try again"
        problem = f"is not on this machine and the Hub cannot be reached: {remedy}"
        if constants.HF_HUB_OFFLINE:
            problem = "is not on this machine, and HF_HUB_OFFLINE keeps it from being fetched"
    except PermissionError as error:
        problem = NOT_WRITABLE.format(error.filename or "the cache folder")
    except hub_errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        remedy = REFUSALS.get(status, "try again")
        problem = f"could not be fetched from the Hub ({one_line(error)}): {remedy}"
    except OSError as error:
        problem = f"could not be fetched from the Hub ({one_line(error)}): try again"
        if error.errno == errno.EROFS:
            problem = NOT_WRITABLE.format(error.filename or "the cache folder")
    except Exception as error:  # the client's own and its transport's, of many kinds
        problem = f"could not be fetched from the Hub ({one_line(error)}): try again"
    raise CheckpointError(f"{name} {problem}")


def _download(
    name: str, hub_id: str, revision: str | None, wanted: tuple[str, ...], whatever_its_name: bool
) -> Path:
    """What is missing of a repository's wanted files, at one commit, and their folder."""
    try:
        _begin(name)
        about = huggingface_hub.model_info(
            hub_id, revision=revision, files_metadata=True, timeout=constants.HF_HUB_ETAG_TIMEOUT
        )
    except (hub_errors.RepositoryNotFoundError, hub_errors.RevisionNotFoundError):
        raise
    except Exception as error:  # the Hub cannot be asked: what is here may do
        return _copy_here(name, hub_id, revision, error)
    commit = str(about.sha)
    there = {file.rfilename: file for file in about.siblings or []}
    try:
        files = _needed(there, wanted, whatever_its_name)
    except CheckpointError as error:
        raise CheckpointError(f"{name}: {error}") from None
    names = [pattern for pattern in wanted if pattern.endswith(WEIGHTS)]
    if not files or (names and not any(file.endswith(WEIGHTS) for file in files)):
        some = ", ".join(names[:4]) + (" …" if len(names) > 4 else "")
        held = [one_line(file, 60) for file in there if file.endswith(FILES_OF_WEIGHTS)][:4]
        what = f"; it holds {', '.join(held)}" if held else ""
        raise CheckpointError(
            f"{name} holds no file that is needed here, such as {some}: if it is "
            f"called otherwise, download it and give its path{what}"
        )
    news = [file for file in files.values() if not here(hub_id, file.rfilename, commit)]
    size = sum(file.size or 0 for file in news)
    cache = Path(constants.HF_HUB_CACHE)
    cache.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache).free
    if size > free - SPARE:
        raise CheckpointError(
            f"{name} takes {size / 1e6:,.0f} MB and {cache} has {free / 1e6:,.0f} MB free: make "
            "room, or set HF_HOME to a folder on another disk"
        )
    if news:
        log.info("fetching %s, %.0f MB, to %s", name, size / 1e6, cache)
        _fetch_files(name, hub_id, commit, news)
    first = next(iter(files))
    folder = Path(str(here(hub_id, first, commit))).parents[first.count("/")]
    ref = folder.parents[1] / "refs" / (revision or constants.DEFAULT_REVISION)
    if revision != commit:  # where the branch stands, for those who ask without the network
        with suppress(OSError):  # a cache that is only read
            ref.parent.mkdir(parents=True, exist_ok=True)
            ref.write_text(commit, encoding="ascii")
    return folder


def _begin(name: str) -> None:
    """Have the client begin, without those variables that it cannot read and that do not lead to
    the Hub. Raises CheckpointError, which names one that does."""
    if constants.HF_HUB_OFFLINE:
        return
    try:
        huggingface_hub.get_session()
    except Exception as error:  # its transport's, of many kinds
        bad = proxies.faulty(_begin_anew)
        proxy = proxies.way_to(constants.ENDPOINT)
        for variable, reason in bad.items() or [("the environment", one_line(error))]:
            if variable == proxy or variable.lower() not in proxies.PROXIES:
                raise CheckpointError(
                    f"{name} cannot be fetched by {variable} as it is ({reason}): correct or "
                    "unset it"
                ) from None
        log.info("the Hub is asked without %s", " and ".join(bad))
        with proxies.only(set(proxies.given()) - set(bad)):
            _begin_anew()


def _begin_anew() -> None:
    huggingface_hub.close_session()
    huggingface_hub.get_session()


def _copy_here(name: str, hub_id: str, revision: str | None, why: Exception) -> Path:
    """The folder that an earlier visit left. Raises `why` the Hub could not be asked."""
    try:
        folder = huggingface_hub.snapshot_download(
            hub_id, revision=revision, local_files_only=True, allow_patterns=[]
        )
    except hub_errors.LocalEntryNotFoundError:
        if isinstance(why, hub_errors.HfHubHTTPError | CheckpointError):
            raise why from None
        raise
    if not isinstance(why, hub_errors.OfflineModeIsEnabled):
        log.warning(
            "the Hub could not be asked (%s): %s is taken as it is here", one_line(why), name
        )
    return Path(folder)


def _fetch_files(name: str, hub_id: str, commit: str, files: list[Any]) -> None:
    """Into the cache, each one checked, under one bar; in a log, a line of it now and then."""
    with tqdm(
        desc=name,
        total=sum(file.size or 0 for file in files),
        unit="B",
        unit_scale=True,
        mininterval=0.2 if sys.stderr.isatty() else 10,
        disable=are_progress_bars_disabled(),
    ) as bar:
        for file in files:
            after = bar.n + (file.size or 0)
            path = huggingface_hub.hf_hub_download(
                hub_id, file.rfilename, revision=commit, tqdm_class=_counting(bar)
            )
            bar.update(after - bar.n)  # what was here under another revision
            if not _sound(path, file):
                for place in {path, os.path.realpath(path)}:
                    os.remove(place)
                raise CheckpointError(
                    f"{name}: {file.rfilename} arrived damaged (the checksum is not the one that "
                    "the Hub states) and was removed: try again"
                )


def _counting(bar: tqdm) -> type[tqdm]:
    """The bar of one file, as the Hub's client wants it: what arrives is counted in `bar`."""

    class Part(tqdm):
        def __init__(self, *_: Any, initial: int = 0, **__: Any) -> None:
            super().__init__(disable=True)
            bar.update(initial)

        def update(self, n: float | None = 1) -> None:
            bar.update(n or 0)

        def update_transfer(self, n: float | None = 1) -> None:
            """Bytes on the line, compressed; those on the disk are counted."""

    return Part


def _needed(
    files: dict[str, Any], wanted: tuple[str, ...], whatever_its_name: bool
) -> dict[str, Any]:
    """The wanted ones of a repository's files, without the same numbers twice."""
    out = {
        name: file
        for name, file in files.items()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in wanted)
    }
    for name in list(out):
        if name.endswith(".bin") and name.removesuffix(".bin") + WHOLE in out:
            del out[name]
    for stem in {pattern.split("*")[0] for pattern in wanted if f"*{WHOLE}" in pattern}:
        kept = chosen(out, stem)
        out = {name: out[name] for name in out if name in kept or not name.startswith(stem)}
    if whatever_its_name and not any(name.endswith(WEIGHTS) for name in out):
        single = [name for name in files if name.endswith(WHOLE) and "/" not in name]
        out |= {name: files[name] for name in single if len(single) == 1}
    return out


def _sound(path: str, file: Any) -> bool:
    """Whether a fetched file is what the Hub states: SHA-256 of large ones, git's SHA-1 of small
    ones."""
    if file.lfs:
        stated, digest = file.lfs.sha256, hashlib.sha256()
    else:
        stated, digest = file.blob_id, hashlib.sha1(b"blob %d\0" % os.path.getsize(path))
    with open(path, "rb") as content:
        for chunk in iter(lambda: content.read(2**20), b""):
            digest.update(chunk)
    return stated is None or digest.hexdigest() == stated
