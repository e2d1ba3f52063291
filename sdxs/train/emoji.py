"""Captioned pictures that no one here drew: emoji and their names, from a package of npm.

`emoji-datasource-google` holds Noto Color Emoji at 64 x 64 pixels, which its README states to be
under the Apache License 2.0; its own data are under the MIT License. Other sets of
`emoji-datasource-*` are laid out likewise, under licences of their own. npm fetches it from the
registry that the machine has, and checks it; nothing is installed. Knows nothing of networks.

What is left is a folder as Hugging Face's datasets have it: pictures, and `metadata.jsonl` with
`file_name` and `text`, its LICENSE and README beside them.
"""

import json
import re
import shutil
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from sdxs.errors import did_you_mean, one_line
from sdxs.train.parts.folder import METADATA
from sdxs.train.run import loop, stage
from sdxs.train.run.options import CommandOptions, option

TOP = "package/"  # of all that npm packs
PICTURE = re.compile(rf"{TOP}img/[\w-]+/64/([\w-]+\.png)")


class Options(CommandOptions):
    run: Path = option(help="where pictures, captions and the result go", metavar="FOLDER")
    package: str = option(
        "emoji-datasource-google@16.0.0", "what npm fetches, or an archive that npm pack has left"
    )
    categories: list[str] | None = option(
        None, "those alone of these, such as 'Food & Drink' (default: of all)", nargs="+"
    )


def packed(package: str, folder: Path) -> Path:
    """The archive of a package, fetched by npm if it is not one. Raises TrainingError."""
    if Path(package).is_file():
        return Path(package)
    npm = shutil.which("npm")
    if npm is None:
        raise loop.TrainingError(
            f"{package} is fetched by npm, which is not on this machine: install it (on Debian: "
            f"apt-get install npm), or bring the archive that `npm pack {package}` leaves "
            "elsewhere, and give it as --package FILE"
        )
    said = subprocess.run(
        [npm, "pack", "--pack-destination", str(folder), "--", package],
        capture_output=True, text=True, errors="replace", cwd=folder, check=False,
    )  # fmt: skip
    found = [*folder.glob("*.tgz")]
    if said.returncode or not found:
        lines = [line.removeprefix("npm error ") for line in said.stderr.splitlines()]
        raise loop.TrainingError(
            f"npm cannot fetch {package} ({one_line(' '.join(lines), 200)}): is the name right, "
            "and can its registry be reached?"
        )
    return found[0]


def read(archive: Path) -> tuple[list[dict[str, Any]], dict[str, bytes], dict[str, bytes]]:
    """What a package says of each emoji; its pictures by name; its other files of the licence.

    Nothing is unpacked: an archive may name any path. Raises TrainingError.
    """
    pictures, about, listed = {}, {}, None
    try:
        with tarfile.open(archive) as members:
            for member in tqdm(members, "emoji", delay=5, dynamic_ncols=True, unit=" files"):
                name = member.name.removeprefix(TOP)
                if not member.isfile():
                    continue
                if found := PICTURE.fullmatch(member.name):
                    pictures[found[1]] = _content(members.extractfile(member))
                elif name in ("LICENSE", "README.md"):
                    about[name] = _content(members.extractfile(member))
                elif name == "emoji.json":
                    listed = json.loads(_content(members.extractfile(member)))
        rows = [
            {key: row[key] for key in ("image", "name", "category")}
            for row in listed or () if row["image"] in pictures and row["name"]
        ]  # fmt: skip
    except (tarfile.TarError, EOFError, OSError, ValueError, TypeError, KeyError) as error:
        raise loop.TrainingError(
            f"{archive} cannot be read ({one_line(error, 120)}): it must be what `npm pack "
            "emoji-datasource-google` leaves"
        ) from None
    if not rows:
        raise loop.TrainingError(
            f"{archive} holds no emoji: it must have pictures in img/SET/64 and their names in "
            "emoji.json, as emoji-datasource-google has"
        )
    return rows, pictures, about


def _content(file: IO[bytes] | None) -> bytes:
    return file.read() if file else b""


def fetch(options: Options) -> None:
    """Leave captioned pictures in `run`. Raises TrainingError."""
    began, run = time.monotonic(), options.run
    with tempfile.TemporaryDirectory() as held:
        rows, pictures, about = read(packed(options.package, Path(held)))
    there = sorted({row["category"] for row in rows})
    for category in options.categories or ():
        if category not in there:
            raise loop.TrainingError(
                f"--categories: no emoji is in {category}. {did_you_mean(category, there)}"
                f"There is {', '.join(there)}"
            )
    rows = [row for row in rows if row["category"] in (options.categories or there)]
    run.mkdir(parents=True, exist_ok=True)
    for old in pictures:  # of other categories, asked for before
        (run / old).unlink(missing_ok=True)
    for name, content in about.items():
        (run / name).write_bytes(content)
    for row in tqdm(rows, "pictures", delay=5, dynamic_ncols=True):
        (run / row["image"]).write_bytes(pictures[row["image"]])
    told = [{"file_name": row["image"], "text": row["name"].lower()} for row in rows]
    with loop.replacing(run / METADATA) as part:
        lines = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in told)
        part.write_text(lines, encoding="utf-8")
    package = Path(options.package).name
    facts = {"package": package, "pictures": len(rows), "categories": options.categories}
    stage.finish(run, "emoji", time.monotonic() - began, **facts)


main = stage.main(Options, fetch, __name__)
