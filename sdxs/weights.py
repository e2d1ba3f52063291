"""From what a person calls a checkpoint to the folder that holds it. The only caller of the Hub.

A name is a folder under `weights/`, a path is itself, anything else is a Hub id; "auto" picks one
without touching the network. Knows nothing of what is in the files: that is `loading`.
"""

import difflib
import fnmatch
import hashlib
import logging
import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub import errors as hub_errors
from huggingface_hub.utils import are_progress_bars_disabled
from tqdm import tqdm

from sdxs.config import DEPTH_ANYTHING, EMBEDDED, REAL_MODEL, SAFETY_CHECKER, known
from sdxs.errors import CheckpointError, InputError, one_line

AUTO = "auto"
OWN_WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
REAL_MODEL_COMMAND = f"make run CHECKPOINT={REAL_MODEL}"

INDEX = "model_index.json"
TOKENIZER_FILES = ("*.json", "merges.txt")
NETWORKS = {  # folder -> its weights file, without the ending
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
}
MORE_NETWORKS = {"vae_large": "diffusion_pytorch_model", "text_encoder_2": "model"}
WHOLE, HALF = ".safetensors", ".fp16.safetensors"
WEIGHTS = (WHOLE, ".bin")
HUB_FILES = (
    INDEX,
    *(
        f"{folder}/{name}"
        for folder, stem in (NETWORKS | MORE_NETWORKS).items()
        for name in ("config.json", stem + WHOLE, stem + HALF)
    ),
    "scheduler/scheduler_config.json",
    *(f"{folder}/{name}" for folder in ("tokenizer", "tokenizer_2") for name in TOKENIZER_FILES),
)

ADAPTER_FILES = {
    "styles": (
        "adapter_config.json",
        "adapter_model.safetensors",
        "adapter_model.bin",
        "pytorch_lora_weights.safetensors",
    ),
    "controls": ("config.json", "diffusion_pytorch_model*.safetensors"),
}
CHECKER_FILES = ("config.json", "model.safetensors", "preprocessor_config.json")
DEPTH_FILES = ("config.json", "model.safetensors")
REFUSALS = {  # HTTP status -> what helps
    401: "check HF_TOKEN, or run `hf auth login`",
    403: "check HF_TOKEN, or run `hf auth login`",
    429: "it asks to wait a while",
}
SPARE = 100 * 2**20  # bytes that stay free on the disk

log = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_HUB_ID = re.compile(r"(?!.*\.\.)([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?")


@dataclass(frozen=True)
class Source:
    """Where a checkpoint comes from: what was chosen, why, and how to get the real model.

    `reason` and `hint` are meant for people: a short clause, and a command to type ("" where the
    checkpoint is not the embedded stand-in).
    """

    name: str
    folder: Path
    kind: Literal["named", "folder", "hub"]
    reason: str
    hint: str = ""


def resolve(checkpoint: str | os.PathLike[str] = AUTO) -> Source:
    """Find a checkpoint: "auto", a name under `weights/`, a folder, or a Hub id (`id@revision`).

    Names are looked up in `SDXS_WEIGHTS` and in this package's own repository, never in the
    working directory. "auto" is `SDXS_CHECKPOINT` if set, else the real model if it is already in
    the local Hub cache, else the embedded one; none of the last two touches the network. Raises
    InputError for what is no name at all, CheckpointError for what cannot be found.
    """
    if isinstance(checkpoint, os.PathLike):
        return _folder(os.fspath(checkpoint))
    if not isinstance(checkpoint, str) or not checkpoint.strip() or "\0" in checkpoint:
        raise InputError(
            f"checkpoint must be a name, a folder or a Hub id such as {REAL_MODEL}, "
            f"not {checkpoint!r}"
        )
    if checkpoint == AUTO:
        return _auto()
    if _NAME.fullmatch(checkpoint):
        return _named(checkpoint)
    if (hub_id := _HUB_ID.fullmatch(checkpoint)) and not os.path.isdir(checkpoint):
        return _from_hub(checkpoint, hub_id[1], hub_id[2])
    return _folder(checkpoint)


def _auto() -> Source:
    asked = os.environ.get("SDXS_CHECKPOINT", "").strip()
    if asked and asked != AUTO:
        return replace(resolve(asked), reason="SDXS_CHECKPOINT asks for it")
    if folder := _cached(REAL_MODEL):
        reason = "it is already in the Hugging Face cache of this machine"
        return Source(REAL_MODEL, folder, "hub", reason)
    reason = (
        f"the real model, {REAL_MODEL}, is not in the Hugging Face cache of this machine, "
        "and nothing is downloaded unasked"
    )
    return replace(_named(EMBEDDED), reason=reason)


def weights_folder(name: str = "") -> Path:
    """What `weights/` holds under a name: in `SDXS_WEIGHTS` if it is there, else in our own."""
    found = [root / name for root in _roots() if os.path.exists(root / name)]
    return found[0] if found else OWN_WEIGHTS / name


def _roots() -> list[Path]:
    own = os.environ.get("SDXS_WEIGHTS")
    return [Path(os.path.expanduser(own)), OWN_WEIGHTS] if own else [OWN_WEIGHTS]


def _named(name: str) -> Source:
    roots = _roots()
    for root in roots:
        if os.path.isfile(root / name / INDEX):
            return _ours(root / name)
    names = sorted({path.parent.name for root in roots for path in root.glob(f"*/{INDEX}")})
    close = difflib.get_close_matches(name, names, n=1)
    did_you_mean = f"did you mean {close[0]}? " if close else ""
    raise CheckpointError(
        f"no checkpoint is called {name!r}: {did_you_mean}"
        f"known names: {', '.join(names) or 'none'}; looked in {', '.join(map(str, roots))}. "
        f"A folder is given as ./{name}, a Hub model as owner/name"
    )


def _ours(folder: Path) -> Source:
    hint = REAL_MODEL_COMMAND if folder.name == EMBEDDED else ""
    return Source(folder.name, folder, "named", "it was asked for", hint)


def _folder(path: str) -> Source:
    folder = Path(os.path.expanduser(path))
    if not os.path.isdir(folder):
        raise CheckpointError(f"there is no folder {path}: give a folder that holds {INDEX}")
    if not os.path.isfile(folder / INDEX):
        what = "is a folder without"
        if os.path.isfile(folder / "adapter_config.json"):
            what = "is a LoRA, not a whole checkpoint: it lacks"
        raise CheckpointError(f"{path} {what} {INDEX}: give one that diffusers' layout is in")
    folder = folder.resolve()
    if any(folder.parent == root.resolve() for root in _roots()):
        return _ours(folder)  # by its path or by its name: the same model
    return Source(path, folder, "folder", "it was asked for")


def _cached(hub_id: str) -> Path | None:
    """The folder of a model that is complete in the local Hub cache; the network is not asked."""
    try:
        index = huggingface_hub.try_to_load_from_cache(hub_id, INDEX)
    except (OSError, hub_errors.HFValidationError):
        return None
    if not isinstance(index, str):
        return None
    folder = Path(index).parent
    needed = [folder / "scheduler" / "scheduler_config.json"]
    for network, stem in NETWORKS.items():
        weights = [folder / network / (stem + end) for end in (WHOLE, HALF)]
        needed += [folder / network / "config.json", weights[not weights[0].exists()]]
    tokenizers = [("tokenizer.json",), ("vocab.json", "merges.txt")]
    readable = any(
        all(os.path.exists(folder / "tokenizer" / name) for name in names) for names in tokenizers
    )
    return folder if readable and all(map(os.path.exists, needed)) else None


def find(what: str, source: str | os.PathLike[str], checkpoint: str) -> Path:
    """A style or control ("styles", "controls"): a published or shipped name, a path, a Hub id."""
    published = known(checkpoint)
    names: dict[str, str] = getattr(published, what) if published else {}
    if isinstance(source, str):
        name = names.get(source, source)
        for root in _roots():
            if _NAME.fullmatch(name) and os.path.exists(root / what / name):
                return root / what / name
        hub_id = _HUB_ID.fullmatch(name)
        if hub_id and not os.path.exists(name):
            return _fetch(name, hub_id[1], hub_id[2], ADAPTER_FILES[what])
    path = Path(os.path.expanduser(source))
    if os.path.exists(path):
        return path
    choices = [*names, *_shipped(what)]
    close = difflib.get_close_matches(os.fspath(source), choices, n=1)
    did_you_mean = f"did you mean {close[0]}? " if close else ""
    raise CheckpointError(
        f"there is no {what.removesuffix('s')} {os.fspath(source)!r}: {did_you_mean}"
        f"known for {checkpoint}: {', '.join(choices) or 'none'}; a file, a folder or a Hub id is "
        "taken too"
    )


def _shipped(what: str) -> list[str]:
    """What lies under `weights/`, beside which there may be notes."""
    found = (path for root in _roots() for path in (root / what).glob("[!.]*"))
    return sorted(path.name for path in found if path.is_dir() or path.suffix == ".safetensors")


def all_of(what: str, source: Source) -> list[str]:
    """The "styles" or "controls" that are published for a checkpoint, or ship with it."""
    published = known(source.name)
    names = set(getattr(published, what) if published else ())
    if source.name == EMBEDDED:  # what ships was trained for it
        names |= set(_shipped(what))
    return sorted(names)


def find_depth(checkpoint: str) -> Path:
    """The network that sees depth for a checkpoint: under `weights/`, or from the Hub."""
    published = known(checkpoint)
    name = published.depth if published else DEPTH_ANYTHING
    if _NAME.fullmatch(name):
        return weights_folder(name)
    return _fetch(name, name, None, DEPTH_FILES)


def find_safety_checker(source: Source, *, fetch: bool) -> tuple[Path, Path]:
    """Folders of a checkpoint's safety checker and of its preprocessor: its own or the common one.

    The common one is downloaded, with `fetch` alone, where it is not here yet. Raises
    CheckpointError where there is none.
    """
    own = source.folder / "safety_checker", source.folder / "feature_extractor"
    if any(own[0].glob("*.safetensors")) and os.path.isdir(own[1]):
        return own
    paths = [huggingface_hub.try_to_load_from_cache(SAFETY_CHECKER, file) for file in CHECKER_FILES]
    if all(isinstance(path, str) for path in paths):
        folder = Path(str(paths[0])).parent
    elif fetch:
        folder = _fetch(SAFETY_CHECKER, SAFETY_CHECKER, None, CHECKER_FILES)
    else:
        raise CheckpointError(
            f"{source.name} has no folder safety_checker, and {SAFETY_CHECKER} is not on this "
            f"machine: `hf download {SAFETY_CHECKER}` fetches it"
        )
    return folder, folder


def _from_hub(name: str, hub_id: str, revision: str | None) -> Source:
    return Source(name, _fetch(name, hub_id, revision, HUB_FILES), "hub", "it was asked for")


def _fetch(name: str, hub_id: str, revision: str | None, wanted: tuple[str, ...]) -> Path:
    """The local folder of a Hub repository with the files that are needed, each one checked."""
    page = f"https://huggingface.co/{hub_id}"
    try:
        return _download(name, hub_id, revision, wanted)
    except CheckpointError:
        raise
    except hub_errors.GatedRepoError:
        problem = f"needs permission: ask for it at {page}, then run `hf auth login`"
    except hub_errors.RevisionNotFoundError:
        problem = f"has no revision {revision}: see {page}"
    except hub_errors.RepositoryNotFoundError:
        problem = f"is not on the Hugging Face Hub, nor a folder here: check the spelling at {page}"
    except (hub_errors.LocalEntryNotFoundError, hub_errors.OfflineModeIsEnabled):
        problem = "is not on this machine and the Hub cannot be reached: connect and try again"
    except PermissionError as error:
        problem = (
            f"cannot be stored: no permission for {error.filename or 'the cache folder'}; "
            "set HF_HOME to a folder that you may write to"
        )
    except hub_errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        remedy = REFUSALS.get(status, "try again")
        problem = f"could not be fetched from the Hub ({one_line(error)}): {remedy}"
    except Exception as error:  # the client's own and its transport's, of many kinds
        problem = f"could not be fetched from the Hub ({one_line(error)}): try again"
    raise CheckpointError(f"{name} {problem}")


def _download(name: str, hub_id: str, revision: str | None, wanted: tuple[str, ...]) -> Path:
    """What is missing of a repository's wanted files, at one commit, and their folder."""
    try:
        about = huggingface_hub.model_info(
            hub_id, revision=revision, files_metadata=True, timeout=constants.HF_HUB_ETAG_TIMEOUT
        )
    except (hub_errors.RepositoryNotFoundError, hub_errors.RevisionNotFoundError):
        raise
    except Exception as error:  # the Hub cannot be asked: what is here may do
        return _copy_here(name, hub_id, revision, error)
    commit = str(about.sha)
    files = _needed({file.rfilename: file for file in about.siblings or []}, wanted)
    if not any(file.endswith(WEIGHTS) for file in files):
        known_names = [pattern for pattern in wanted if pattern.endswith(WEIGHTS)]
        raise CheckpointError(
            f"{name} holds no file that is needed here, such as {_some(known_names)}: if it is "
            "called otherwise, download it and give its path"
        )
    news = [file for file in files.values() if not _here(hub_id, file.rfilename, commit)]
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
    folder = Path(str(_here(hub_id, first, commit))).parents[first.count("/")]
    ref = folder.parents[1] / "refs" / (revision or constants.DEFAULT_REVISION)
    if revision != commit:  # where the branch stands, for those who ask without the network
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(commit)
    return folder


def _copy_here(name: str, hub_id: str, revision: str | None, why: Exception) -> Path:
    """The folder that an earlier visit left. Raises `why` the Hub could not be asked."""
    try:
        folder = huggingface_hub.snapshot_download(
            hub_id, revision=revision, local_files_only=True, allow_patterns=[]
        )
    except hub_errors.LocalEntryNotFoundError:
        if isinstance(why, hub_errors.HfHubHTTPError):
            raise why from None
        raise
    if not isinstance(why, hub_errors.OfflineModeIsEnabled):
        log.warning(
            "the Hub could not be asked (%s): %s is taken as it is here", one_line(why), name
        )
    return Path(folder)


def _here(hub_id: str, file: str, commit: str) -> str | None:
    """The path of a file in the local cache."""
    path = huggingface_hub.try_to_load_from_cache(hub_id, file, revision=commit)
    return path if isinstance(path, str) else None


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


def _needed(files: dict[str, Any], wanted: tuple[str, ...]) -> dict[str, Any]:
    """The wanted ones of a repository's files, without the same numbers twice.

    For a style without a file of a known name, its only file of weights, whatever it is called.
    """
    out = {
        name: file
        for name, file in files.items()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in wanted)
    }
    for name in list(out):
        for end in (HALF, ".bin"):  # a 16-bit variant, a pickle
            if name.endswith(end) and name.removesuffix(end) + WHOLE in out:
                del out[name]
    if wanted == ADAPTER_FILES["styles"] and not any(name.endswith(WEIGHTS) for name in out):
        single = [name for name in files if name.endswith(WHOLE) and "/" not in name]
        out |= {name: files[name] for name in single if len(single) == 1}
    return out


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (" …" if len(names) > 4 else "")


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
