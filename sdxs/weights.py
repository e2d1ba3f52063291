"""From what a person calls a checkpoint to the folder that holds it. The only caller of the Hub.

A name is a folder under `weights/`, a path is itself, anything else is a Hub id; "auto" picks one
without touching the network. Knows nothing of what is in the files: that is `loading`.
"""

import difflib
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import huggingface_hub
from huggingface_hub import errors as hub_errors

from sdxs.config import EMBEDDED, REAL_MODEL
from sdxs.errors import CheckpointError, InputError, one_line

AUTO = "auto"
OWN_WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
REAL_MODEL_COMMAND = f"make run CHECKPOINT={REAL_MODEL}"

INDEX = "model_index.json"
NETWORKS = {  # folder -> its weights file
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
}
HUB_FILES = (
    INDEX,
    *(f"{folder}/{name}" for folder, file in NETWORKS.items() for name in ("config.json", file)),
    "vae_large/config.json",
    "vae_large/diffusion_pytorch_model.safetensors",
    "scheduler/scheduler_config.json",
    "tokenizer/*.json",
    "tokenizer/merges.txt",
)

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_HUB_ID = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?")


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
    known = sorted({path.parent.name for root in roots for path in root.glob(f"*/{INDEX}")})
    close = difflib.get_close_matches(name, known, n=1)
    did_you_mean = f"did you mean {close[0]}? " if close else ""
    raise CheckpointError(
        f"no checkpoint is called {name!r}: {did_you_mean}"
        f"known names: {', '.join(known) or 'none'}; looked in {', '.join(map(str, roots))}. "
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
    for network, file in NETWORKS.items():
        needed += [folder / network / "config.json", folder / network / file]
    tokenizers = [("tokenizer.json",), ("vocab.json", "merges.txt")]
    readable = any(
        all(os.path.exists(folder / "tokenizer" / name) for name in names) for names in tokenizers
    )
    return folder if readable and all(map(os.path.exists, needed)) else None


def _from_hub(name: str, hub_id: str, revision: str | None) -> Source:
    page = f"https://huggingface.co/{hub_id}"
    try:
        folder = huggingface_hub.snapshot_download(
            hub_id, revision=revision, allow_patterns=list(HUB_FILES)
        )
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
    except Exception as error:  # the client's own and its transport's, of many kinds
        problem = f"could not be fetched from the Hub ({one_line(error)}): try again"
    else:
        return Source(name, Path(folder), "hub", "it was asked for")
    raise CheckpointError(f"{name} {problem}")
