"""Uploads a page as a Space: `python spaces/upload.py app --repo NAME/SPACE [--dry-run]`.

The Space gets what its page needs of the tracked files, `spaces/PAGE/README.md` as its README, and
the versions that are tested as its requirements; the static site's has what `make web` built. What
else it had goes, all in one commit. Knows nothing of what the page does.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("app", "anime", "sketch", "web")  # folders beside this file
SITE = ROOT / "web" / "dist"  # what `make web` builds, all of the Space of that name
NEEDED = re.compile(r"sdxs/.*|weights/.*|LICENSE")
NEEDLESS = re.compile(
    r"sdxs/(bench|evaluate|export|storybook|train)/.*|weights/evaluator/.*|.*\.webp"
)
UNPINNED = {"torch"}  # ZeroGPU has versions of its own
LARGEST_REGULAR = 10 * 2**20  # bytes of a file that the Hub keeps outside LFS
LOGIN = "set HF_TOKEN, or run `hf auth login`, with a token that may write"


class UploadError(Exception):
    """A mistake, in one line."""


def tree(page: str) -> dict[str, Path | bytes]:
    """All that the Space of a page consists of: a path in it -> the file here, or its content.
    Raises UploadError."""
    readme = ROOT / "spaces" / page / "README.md"
    if page == "web":
        return {"README.md": readme, **site()}
    app = re.search(r"^app_file: (.+)$", readme.read_text("utf-8"), re.MULTILINE)
    assert app, f"{readme} names no app_file"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        raise UploadError(f"{ROOT} is no checkout of git: clone the repository")
    files: dict[str, Path | bytes] = {"README.md": readme, "requirements.txt": requirements()}
    for name in listed.stdout.split("\0"):
        needed = NEEDED.fullmatch(name) and not NEEDLESS.fullmatch(name)
        if (needed or name == app[1]) and (ROOT / name).is_file():
            files[name] = ROOT / name
    return dict(sorted(files.items()))


def site() -> dict[str, Path | bytes]:
    """All files of the static site. Raises UploadError."""
    if not (SITE / "sw.js").is_file():
        raise UploadError(f"{SITE} is not there: `make web` builds it")
    files = (file for file in sorted(SITE.rglob("*")) if file.is_file())
    return {file.relative_to(SITE).as_posix(): file for file in files}


def requirements() -> bytes:
    """requirements.txt with the versions of constraints.txt."""
    pins = dict(re.findall(r"^([\w-]+)==([\w.]+)", _read("constraints.txt"), re.MULTILINE))
    known = {_plain(name): version for name, version in pins.items()}
    lines = ["# The versions that are tested."]
    for line in re.findall(r"^\w.*", _read("requirements.txt"), re.MULTILINE):
        name, bounds, marker = re.fullmatch(r"([\w-]+)([^;]*)(.*)", line).groups()  # type: ignore
        if name not in UNPINNED:
            bounds = f"=={known[_plain(name)]}"
        lines.append(name + bounds + marker)
    return "\n".join([*lines, ""]).encode()


def sizes(files: dict[str, Path | bytes]) -> dict[str, int]:
    """Bytes of each file."""
    return {
        name: len(file) if isinstance(file, bytes) else file.stat().st_size
        for name, file in files.items()
    }


def listing(files: dict[str, Path | bytes]) -> str:
    """Every file with its size, and the total. LFS: the Hub keeps it there."""
    lines = [
        f"{size:12,d}  {name}{'  (LFS)' if size > LARGEST_REGULAR else ''}"
        for name, size in sizes(files).items()
    ]
    return "\n".join([*lines, f"{sum(sizes(files).values()):12,d}  bytes in {len(files)} files"])


def upload(files: dict[str, Path | bytes], repo: str, private: bool, sdk: str) -> str:
    """Make the Space where there is none, and its tree that of `files`; the Space's address.
    Raises UploadError."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, errors

    api, space = HfApi(token=True), {"repo_id": repo, "repo_type": "space"}  # True: not without one
    try:
        address = api.create_repo(**space, space_sdk=sdk, private=private, exist_ok=True)
        operations: list[Any] = [CommitOperationAdd(*file) for file in files.items()]
        old = set(api.list_repo_files(**space)) - {*files, ".gitattributes"}
        operations += [CommitOperationDelete(name) for name in sorted(old)]
        api.create_commit(**space, operations=operations, commit_message="SDXS")
    except errors.LocalTokenNotFoundError:
        raise UploadError(f"there is no token: {LOGIN}") from None
    except errors.HFValidationError:
        raise UploadError(f"{repo!r} is no name of a Space: --repo NAME/SPACE") from None
    except errors.HfHubHTTPError as error:
        raise UploadError(_refusal(error, repo)) from None
    except Exception as error:  # its transport's, of many kinds
        raise UploadError(f"nothing was uploaded ({_line(error)}): try again") from None
    return str(address)


def _refusal(error: Any, repo: str) -> str:
    status = error.response.status_code
    if status == 401:
        return f"the Hub does not know the token: {LOGIN}"
    if status in (403, 404):
        return f"this token may not write to {repo}: {LOGIN} there"
    return f"the Hub refuses {repo} ({_line(error.server_message or error)})"


def main(arguments: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[2])
    options.add_argument("page", choices=PAGES)
    options.add_argument("--repo", metavar="NAME/SPACE", help="the Space, made if there is none")
    options.add_argument("--private", action="store_true", help="make it for its owner alone")
    options.add_argument("--dry-run", action="store_true", help="list what would travel, offline")
    given = options.parse_args(arguments)
    if not (given.repo or given.dry_run):
        options.error("--repo is needed: NAME/SPACE")
    try:
        files = tree(given.page)
        print(listing(files))
        if not given.dry_run:
            sdk = "static" if given.page == "web" else "gradio"
            print(f"The Space is at {upload(files, given.repo, given.private, sdk)}")
    except UploadError as error:
        print(f"upload: {error}", file=sys.stderr)
        return 2
    return 0


def _read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def _plain(name: str) -> str:
    """A package's name as its other spellings are compared."""
    return name.lower().replace("_", "-")


def _line(error: object) -> str:
    return " ".join(str(error).split())[:150] or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
