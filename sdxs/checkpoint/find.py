"""From what a person calls a checkpoint to the folder that holds it.

A name is a folder under `weights/`, a path is itself, anything else is a Hub id; "auto" picks one
without touching the network. Knows nothing of how files are fetched, that is `hub`, nor of what is
in them.
"""

import difflib
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from sdxs.checkpoint.files import (
    ADAPTER_FILES,
    CHECKER_FILES,
    DEPTH_FILES,
    HUB_FILES,
    INDEX,
    PEFT_CONFIG,
    cached,
)
from sdxs.checkpoint.hub import here, repository
from sdxs.config import DEPTH_ANYTHING, EMBEDDED, REAL_MODEL, SAFETY_CHECKER, known
from sdxs.errors import CheckpointError, InputError

AUTO = "auto"
PACKAGE = Path(__file__).resolve().parents[1]
OWN_WEIGHTS = next(  # in an installed package, or beside it in the repository
    filter(Path.is_dir, (PACKAGE / "weights", PACKAGE.parent / "weights")), PACKAGE / "weights"
)
REAL_MODEL_COMMAND = f"make run CHECKPOINT={REAL_MODEL}"

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
    if folder := cached(REAL_MODEL):
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
        if os.path.isfile(folder / PEFT_CONFIG):
            what = "is a LoRA, not a whole checkpoint: it lacks"
        raise CheckpointError(f"{path} {what} {INDEX}: give one that diffusers' layout is in")
    folder = folder.resolve()
    if any(folder.parent == root.resolve() for root in _roots()):
        return _ours(folder)  # by its path or by its name: the same model
    return Source(path, folder, "folder", "it was asked for")


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
            return repository(
                name, hub_id[1], hub_id[2], ADAPTER_FILES[what], whatever_its_name=what == "styles"
            )
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
    return repository(name, name, None, DEPTH_FILES)


def find_safety_checker(source: Source, *, fetch: bool) -> tuple[Path, Path]:
    """Folders of a checkpoint's safety checker and of its preprocessor: its own or the common one.

    The common one is downloaded, with `fetch` alone, where it is not here yet. Raises
    CheckpointError where there is none.
    """
    own = source.folder / "safety_checker", source.folder / "feature_extractor"
    if any(own[0].glob("*.safetensors")) and os.path.isdir(own[1]):
        return own
    paths = [here(SAFETY_CHECKER, file) for file in CHECKER_FILES]
    if all(paths):
        folder = Path(str(paths[0])).parent
    elif fetch:
        folder = repository(SAFETY_CHECKER, SAFETY_CHECKER, None, CHECKER_FILES)
    else:
        raise CheckpointError(
            f"{source.name} has no folder safety_checker, and {SAFETY_CHECKER} is not on this "
            f"machine: `hf download {SAFETY_CHECKER}` fetches it"
        )
    return folder, folder


def _from_hub(name: str, hub_id: str, revision: str | None) -> Source:
    return Source(name, repository(name, hub_id, revision, HUB_FILES), "hub", "it was asked for")
