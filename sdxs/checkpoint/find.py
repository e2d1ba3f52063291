"""From what a person calls a checkpoint to the folder or file that holds it.

A name is a folder under `weights/`, a path is itself, anything else is a Hub id; "auto" picks one
without touching the network. Knows nothing of how files are fetched, that is `hub`, nor of what is
in them.
"""

import os
import re
from dataclasses import replace
from pathlib import Path

from sdxs import sources
from sdxs.checkpoint import files
from sdxs.checkpoint.hub import here, repository
from sdxs.checkpoint.mistaken import as_meant
from sdxs.checkpoint.variants import REFUSED, WHOLE, refuse_others
from sdxs.config import CLIP_TOKENIZER, DEPTH_ANYTHING, EMBEDDED, REAL_MODEL, SAFETY_CHECKER, known
from sdxs.errors import CheckpointError, InputError, did_you_mean
from sdxs.sources import AUTO, Source

NO_TOKENIZER = (
    f"`hf download {CLIP_TOKENIZER} {' '.join(files.CLIP_TOKENIZER_FILES)}` fetches CLIP's, or put "
    "a folder tokenizer beside it"
)
EXPORTED = "sdxs.json"  # what a folder of graphs holds, see docs/export.md
REAL_MODEL_COMMAND = f"make run CHECKPOINT={REAL_MODEL}"

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_HUB_ID = re.compile(r"(?!.*\.\.)([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?")


def resolve(checkpoint: str | os.PathLike[str] = AUTO) -> Source:
    """Find a checkpoint: "auto" (see `SDXS.load`), a name under `weights/`, a folder, a single
    file, or a Hub id (`id@revision`).

    Names are looked up in `SDXS_WEIGHTS` and in this package's own repository, never in the
    working directory. Raises InputError for what is no name at all, CheckpointError for what cannot
    be found.
    """
    if isinstance(checkpoint, os.PathLike):
        return _path(os.fspath(checkpoint))
    if not isinstance(checkpoint, str) or not checkpoint.strip() or "\0" in checkpoint:
        raise InputError(
            f"checkpoint must be a name, a folder or a Hub id such as {REAL_MODEL}, "
            f"not {checkpoint!r}"
        )
    checkpoint = as_meant(checkpoint)
    if checkpoint == AUTO:
        return _auto()
    if checkpoint.endswith((WHOLE, *REFUSED)):
        return _path(checkpoint)
    if _NAME.fullmatch(checkpoint):
        return _named(checkpoint)
    if (hub_id := _HUB_ID.fullmatch(checkpoint)) and not os.path.exists(checkpoint):
        folder = repository(
            checkpoint, hub_id[1], hub_id[2], files.HUB_FILES, whatever_its_name=True
        )
        return Source(checkpoint, _whole(folder), "hub")
    return _path(checkpoint)


def _auto() -> Source:
    asked = os.environ.get("SDXS_CHECKPOINT", "").strip()
    if asked and asked != AUTO:
        return replace(resolve(asked), reason="SDXS_CHECKPOINT asks for it")
    if folder := files.cached(REAL_MODEL):
        reason = "it is already in the Hugging Face cache of this machine"
        return Source(REAL_MODEL, folder, "hub", reason)
    reason = (
        f"the real model, {REAL_MODEL}, is not in the Hugging Face cache of this machine, "
        "and nothing is downloaded unasked"
    )
    return replace(_named(EMBEDDED), reason=reason)


def weights_folder(name: str = "") -> Path:
    """What `weights/` holds under a name: in `SDXS_WEIGHTS` if it is there, else in our own."""
    found = [root / name for root in sources.roots() if os.path.exists(root / name)]
    return found[0] if found else sources.OWN_WEIGHTS / name


def _named(name: str) -> Source:
    roots = sources.roots()
    for root in roots:
        if os.path.isfile(root / name / files.INDEX):
            return _ours(root / name)
    names = sorted({path.parent.name for root in roots for path in root.glob(f"*/{files.INDEX}")})
    raise CheckpointError(
        f"no checkpoint is called {name!r}: {did_you_mean(name, names)}"
        f"known names: {', '.join(names) or 'none'}; looked in {', '.join(map(str, roots))}. "
        f"A folder is given as ./{name}, a Hub model as owner/name"
    )


def _ours(folder: Path) -> Source:
    hint = REAL_MODEL_COMMAND if folder.name == EMBEDDED else ""
    return Source(folder.name, folder, "named", hint=hint)


def _path(path: str) -> Source:
    place = Path(os.path.expanduser(path))
    if not os.path.exists(place):
        raise CheckpointError(
            f"there is no file or folder {path}: give a folder that holds {files.INDEX}, or a "
            f"{WHOLE} file"
        )
    place = _whole(place)
    if place.is_file():  # not resolved: in the Hub's cache files are links to nameless ones
        return Source(path, place.absolute(), "folder")
    place = place.resolve()
    if any(place.parent == root.resolve() for root in sources.roots()):
        return _ours(place)  # by its path or by its name: the same model
    return Source(path, place, "folder")


def _whole(place: Path) -> Path:
    """A folder in diffusers' layout, or a single file that is given or that a folder holds, for
    which there is a tokenizer. Raises CheckpointError."""
    file = place
    if place.is_dir():
        if os.path.isfile(place / files.INDEX):
            return place
        if os.path.isfile(place / files.PEFT_CONFIG):
            raise CheckpointError(
                f"{place} is a LoRA, not a whole checkpoint: it lacks {files.INDEX}"
            )
        if os.path.isfile(place / EXPORTED):
            raise CheckpointError(
                f"{place} holds a checkpoint's graphs: SDXS_ENGINE=lite paints with those for ONNX"
            )
        if os.path.isfile(place / files.OF_A_STAGE):
            raise CheckpointError(
                f"{place} is a stage of training, not a whole checkpoint: python -m "
                "sdxs.train.export makes one of it"
            )
        only = files.only_weights(place)
        if not only:
            raise CheckpointError(
                f"{place} is a folder without {files.INDEX}: give one that diffusers' layout is "
                f"in, or that holds a {WHOLE} file"
            )
        file = only
    refuse_others(file)
    if file.suffix != WHOLE:
        raise CheckpointError(
            f"{file} is no checkpoint: give a {WHOLE} file, or the folder of {files.INDEX}"
        )
    if not files.beside(file).keys() & {"tokenizer", "clip"}:
        try:
            wanted = files.CLIP_TOKENIZER_FILES
            repository(CLIP_TOKENIZER, CLIP_TOKENIZER, None, wanted)
        except CheckpointError as error:
            raise CheckpointError(f"{file} brings no tokenizer: {NO_TOKENIZER} ({error})") from None
    return file


def find(what: str, source: str | os.PathLike[str], checkpoint: str) -> Path:
    """A style or control ("styles", "controls"): a published or shipped name, a path, a Hub id."""
    published = known(checkpoint)
    names: dict[str, str] = getattr(published, what) if published else {}
    if isinstance(source, str):
        source = as_meant(source)
        name = names.get(source, source)
        for root in sources.roots():
            if _NAME.fullmatch(name) and os.path.exists(root / what / name):
                return root / what / name
        hub_id = _HUB_ID.fullmatch(name)
        if hub_id and not os.path.exists(name):
            wanted = files.ADAPTER_FILES[what]
            folder = repository(name, hub_id[1], hub_id[2], wanted, whatever_its_name=True)
            return _adapter(what, folder)
    path = Path(os.path.expanduser(source))
    if os.path.exists(path):
        return _adapter(what, path)
    asked, choices = os.fspath(source), [*names, *_shipped(what)]
    raise CheckpointError(
        f"there is no {what.removesuffix('s')} {asked!r}: {did_you_mean(asked, choices)}"
        f"known{checkpoint and f' for {checkpoint}'}: {', '.join(choices) or 'none'}; a file, a "
        "folder or a Hub id is taken too"
    )


def _adapter(what: str, place: Path) -> Path:
    """Of a control, the file itself where a folder holds a single one. Raises CheckpointError."""
    if what == "styles":
        return place
    if place.is_file():
        refuse_others(place)
    elif not os.path.isfile(place / "config.json"):
        return files.only_weights(place) or place
    return place


def _shipped(what: str) -> list[str]:
    """What lies under `weights/`, beside which there may be notes."""
    found = (path for root in sources.roots() for path in (root / what).glob("[!.]*"))
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
    return find_sight(published.depth if published else DEPTH_ANYTHING)


def find_sight(source: str) -> Path:
    """A network that sees depth: a name under `weights/`, a folder, or a Hub id. Raises
    CheckpointError."""
    source = as_meant(source)
    path = Path(os.path.expanduser(source))
    if _NAME.fullmatch(source) and os.path.exists(weights_folder(source)):
        return weights_folder(source)
    if os.path.exists(path):
        return path
    if hub_id := _HUB_ID.fullmatch(source):
        return repository(source, hub_id[1], hub_id[2], files.DEPTH_FILES)
    raise CheckpointError(f"there is no folder {source}: give that of a network that sees depth")


def find_safety_checker(source: Source, *, fetch: bool) -> tuple[Path, Path]:
    """Folders of a checkpoint's safety checker and of its preprocessor: its own or the common one.

    The common one is downloaded, with `fetch` alone, where it is not here yet. Raises
    CheckpointError where there is none.
    """
    own = source.folder / "safety_checker", source.folder / "feature_extractor"
    if any(own[0].glob("*.safetensors")) and os.path.isdir(own[1]):
        return own
    paths = [here(SAFETY_CHECKER, file) for file in files.CHECKER_FILES]
    if all(paths):
        folder = Path(str(paths[0])).parent
    elif fetch:
        folder = repository(SAFETY_CHECKER, SAFETY_CHECKER, None, files.CHECKER_FILES)
    else:
        raise CheckpointError(
            f"{source.name} has no folder safety_checker, and {SAFETY_CHECKER} is not on this "
            f"machine: `hf download {SAFETY_CHECKER}` fetches it"
        )
    return folder, folder
