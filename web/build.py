"""Builds the static site: python -m web.build [--model FOLDER] [--out web/dist]

Everything that the site is at run time, in one folder that any host may serve: the pages here, the
scripts and looks of `sdxs/page/browser`, the engine, ONNX Runtime's WebAssembly (node_modules), and
a model that `python -m sdxs.export … --to onnx` wrote. Knows nothing of what a script does.
"""

import argparse
import gzip
import hashlib
import json
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image, ImageDraw

from sdxs.conditions import CONDITIONS
from sdxs.errors import SDXSError
from sdxs.export.target import whole_or_none
from sdxs.lite.asked import ENGINE
from sdxs.lite.model import SDXS
from sdxs.metadata.parameters import SOFTWARE
from sdxs.metadata.xmp import PACKET
from sdxs.page import theme
from sdxs.page.ui import CANVAS_SCRIPTS, LOOKS, SCRIPTS
from sdxs.page.widgets import FILES
from sdxs.service.about import BY_A_MODEL, FIRST_SEED, About
from sdxs.service.kinds import Choice, Option, Picture, Prompt, Slider, Switch, Text
from sdxs.service.labels import Labels
from sdxs.service.options import LAYOUTS, OPTIONS
from web import packages

WEB = Path(__file__).resolve().parent
MODEL = WEB.parent / "weights" / "onnx" / "storybook"
LARGEST = 60_000_000  # bytes of the whole site
FILES_OF = re.compile(r"FILES = ({.*?});")  # the files that a service worker knows
PAGES = {  # file -> layout, what a visitor does, scripts; all else is page.html's
    "index.html": ("text", "Type", SCRIPTS),
    "sketch.html": ("canvas", "Draw", (*SCRIPTS, *CANVAS_SCRIPTS)),
}
OURS = {"server.js": "site/calls.js"}  # a script of the pages -> what the site has in its place
CONTROLS = ("sketch",)  # that web/engine makes control images for
TEMPLATES = "canvas", "chips", "head", "rewind", "stage", "unknown", "variety"

POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; "
    "style-src-attr 'unsafe-inline'; img-src 'self' data: blob:; media-src blob:; "
    "connect-src 'self' data: blob:; manifest-src 'self'; base-uri 'none'; form-action 'none'"
)

ORT = packages.FOLDER / "onnxruntime-web" / "dist"
TOKENIZERS = packages.FOLDER / "@huggingface" / "tokenizers" / "dist" / "tokenizers.min.mjs"
RUNTIMES = {  # as web/engine wants them: {module, glue, binary}
    "wasm": ("ort.wasm.min.mjs", "ort-wasm-simd-threaded"),
    "webgpu": ("ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify"),
    "jspi": ("ort.jspi.min.mjs", "ort-wasm-simd-threaded.jspi"),
}


def build(
    out: Path, model: Path, welcome: bytes | None = None, backends: Iterable[str] = RUNTIMES
) -> dict[str, int]:
    """The site in `out`, an earlier one's place; bytes of each file. welcome: a JPEG of the first
    example with the first seed. backends: what it can paint by, of RUNTIMES. Raises OSError for
    what is not there, MissingError of packages.py, InputError where something else is in `out`,
    ValueError for a site that is too large."""
    with whole_or_none(out, is_own) as place:
        return _built(place, model, welcome, backends)


def is_own(out: Path) -> bool:
    """Whether a folder holds nothing but what a build left."""
    try:
        found = FILES_OF.search((out / "sw.js").read_text("utf-8"))
    except OSError:
        return False
    return found is not None and {*_names(out)} <= {"sw.js", *json.loads(found[1])}


def _built(
    out: Path, model: Path, welcome: bytes | None, backends: Iterable[str]
) -> dict[str, int]:
    out.mkdir()
    scripts = {name for *_, page in PAGES.values() for name in page} - OURS.keys()
    for name in (*scripts, *LOOKS):
        _copy(FILES / name, out / "page" / name)
    for folder in ("site", "engine"):
        shutil.copytree(WEB / folder, out / folder)
    copy_model(model, out / "model")
    _copy(WEB / "manifest.webmanifest", out / "manifest.webmanifest")
    (out / "theme.css").write_text(theme_css(), "utf-8")
    icons(out / "icons")
    facts = site(runtimes(out, backends), welcome is not None, model)
    if welcome is not None:
        (out / "welcome.jpg").write_bytes(welcome)
    (out / "site.json").write_text(json.dumps(facts, ensure_ascii=False), "utf-8")
    for name, page in PAGES.items():
        (out / name).write_text(html(*page), "utf-8")
    list_files(out)
    sizes = {name: (out / name).stat().st_size for name in _names(out)}
    if sum(sizes.values()) > LARGEST:
        raise ValueError(f"the site has {sum(sizes.values()):,} bytes, more than {LARGEST:,}")
    return sizes


def list_files(out: Path) -> None:
    """Write the service worker, which knows every file by its sha256."""
    names = [name for name in _names(out) if name != "sw.js"]
    sums = {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in names}
    text = (WEB / "sw.js").read_text("utf-8").replace("FILES = {}", f"FILES = {json.dumps(sums)}")
    (out / "sw.js").write_text(text, "utf-8")


def copy_model(model: Path, out: Path) -> None:
    """Of an exported folder what the site can use: of controls those that it can draw for."""
    info = json.loads((model / "sdxs.json").read_text("utf-8"))
    drawn = [name for name in info["controls"] if name in CONTROLS]
    graphs = [row for row in info["graphs"] if row["control"] in ("", *drawn)]
    needed = {file for row in graphs for file in (row["file"], *row["weights"])}
    needed |= {row["file"] for row in info["tokenizers"]}
    for file in needed:
        _copy(model / file, out / file)
    files = {file: facts for file, facts in info["files"].items() if file in needed}
    conditions = [name for name in info["about"]["conditions"] if CONDITIONS[name].control in drawn]
    about = {**info["about"], "conditions": conditions}
    info |= {"controls": drawn, "graphs": graphs, "files": files, "about": about}
    (out / "sdxs.json").write_text(json.dumps(info, ensure_ascii=False), "utf-8")


def site(runtimes: dict[str, Any], welcomes: bool, model: Path) -> dict[str, Any]:
    """What site.json says to site/app.js."""
    info = json.loads((model / "sdxs.json").read_text("utf-8"))
    request = {"prompt": info["about"]["examples"][0], "seed": str(FIRST_SEED)}
    return {
        "software": SOFTWARE,
        "xmp": PACKET,
        "notes": [BY_A_MODEL],
        "rows": [row_facts(row) for row in OPTIONS],
        "layouts": LAYOUTS,
        "templates": {name: (FILES / f"{name}.html").read_text("utf-8") for name in TEMPLATES},
        "runtimes": runtimes,
        "welcome": {"picture": "welcome.jpg", "request": request} if welcomes else None,
    }


def row_facts(row: Option) -> dict[str, Any]:
    """A row of the table of options, see site/fields.js."""
    match row.widget:
        case Slider(low, high, step):
            widget: dict[str, Any] = {"kind": "slider", "low": low, "high": high, "step": step}
        case Text(rolls):
            widget = {"kind": "text", "rolls": rolls}
        case Choice():
            widget = {"kind": "choice", **_source(row)}
        case Prompt() | Switch() | Picture():
            widget = {"kind": type(row.widget).__name__.lower()}
    return {
        "field": row.field, "label": row.label, "place": row.place, "keyword": row.keyword,
        "title": row.title, "needs": row.needed, "start": row.start, "required": row.required,
        "programs": row.programs, "widget": widget,
    }  # fmt: skip


def _source(row: Option) -> dict[str, Any]:
    """Of a choice: which field of About has its names, what they are called where not by
    themselves, and whether there is none, too."""
    probe: dict[str, Any] = {
        "styles": ("x",), "templates": {"x": "{prompt}"}, "decoders": ("x",),
        "conditions": tuple(CONDITIONS),
    }  # fmt: skip
    everything = About(**probe)
    names = row.names(everything)
    of = next(name for name in probe if row.names(replace(everything, **{name: ()})) != names)
    titles = {name: said for name, said in names.items() if name and name != said}
    return {"of": of, "titles": titles, "none": "" in names}


def runtimes(out: Path, backends: Iterable[str]) -> dict[str, Any]:
    """Copy what runs the model; its addresses, see `open` in web/engine/worker.js. The binaries are
    packed: few hosts pack what they serve."""
    packages.ready()
    place = Path("engine/runtime")
    found: dict[str, Any] = {"tokenizers": str(place / _served(TOKENIZERS.name))}
    _copy(TOKENIZERS, out / found["tokenizers"])
    for name in backends:
        module, stem = RUNTIMES[name]
        for file in (module, f"{stem}.mjs"):
            _copy(ORT / file, out / place / _served(file))
        packed = gzip.compress((ORT / f"{stem}.wasm").read_bytes(), mtime=0)
        (out / place / f"{stem}.wasm.gz").write_bytes(packed)
        found[name] = {
            "module": str(place / _served(module)),
            "glue": str(place / f"{stem}.js"),
            "binary": str(place / f"{stem}.wasm.gz"),
            "bytes": len(packed),
        }
    return found


def _served(module: str) -> str:
    """A module's name by which every host knows that it is a script: of .mjs some do not."""
    return str(Path(module).with_suffix(".js"))


def html(layout: str, act: str, scripts: Sequence[str]) -> str:
    """A page, with its policy, looks and scripts."""
    looks = ["theme.css", *(f"page/{look}" for look in LOOKS), "site/site.css"]
    own = [OURS.get(script, f"page/{script}") for script in scripts]
    filled = {
        "policy": POLICY,
        "layout": layout,
        "line": f"{act}, and the picture follows",
        "looks": "\n  ".join(f'<link rel="stylesheet" href="{look}">' for look in looks),
        "scripts": "\n  ".join(f'<script src="{script}"></script>' for script in own),
    }
    text = (WEB / "page.html").read_text("utf-8")
    for key, value in filled.items():
        text = text.replace("{{" + key + "}}", value)
    return text


def theme_css() -> str:
    """The variables of the pages' theme, by day and by night."""
    return str(gr.themes.Base(**theme.BASE).set(**theme.SET)._get_theme_css())


def icons(folder: Path) -> None:
    """A house at sunset, in two sizes; its middle is all of it, for launchers that cut corners."""
    folder.mkdir()
    side = 1024
    picture = Image.new("RGB", (side, side), "#f59e6b")
    draw = ImageDraw.Draw(picture)
    for y in range(side):
        part = y / side
        draw.line([(0, y), (side, y)], fill=(int(90 + 160 * part), int(70 + 100 * part), 130))
    draw.ellipse((600, 250, 780, 430), fill="#ffe29a")
    draw.rectangle((0, 680, side, side), fill="#0d9488")
    draw.rectangle((330, 500, 630, 760), fill="#fafaf9")
    draw.polygon([(280, 520), (480, 320), (680, 520)], fill="#b91c1c")
    draw.rectangle((440, 610, 520, 760), fill="#7c2d12")
    for size in (192, 512):
        small = picture.resize((size, size), Image.Resampling.LANCZOS)
        small.save(folder / f"{size}.png", optimize=True)


def painted(model: Path) -> bytes:
    """The welcome picture of an exported folder, as a file that says how it was made. Raises
    SDXSError."""
    loaded = SDXS.load(model, safety=False, engine=ENGINE)
    about = About.of(loaded)
    given = {"prompt": about.examples[0], "seed": FIRST_SEED}
    return Labels(about).file(loaded(given["prompt"], seed=FIRST_SEED), given)


def listing(sizes: dict[str, int]) -> str:
    """Every file with its size, and the total."""
    lines = [f"{size:12,d}  {name}" for name, size in sizes.items()]
    return "\n".join([*lines, f"{sum(sizes.values()):12,d}  bytes in {len(sizes)} files"])


def main(arguments: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[2])
    options.add_argument("--model", type=Path, default=MODEL, help="an exported folder")
    options.add_argument(
        "--out", type=Path, default=WEB / "dist", help="an earlier site is replaced"
    )
    given = options.parse_args(arguments)
    try:
        if not (given.model / "sdxs.json").is_file():
            raise OSError(f"{given.model} is no exported model: `make onnx` makes one")
        print(listing(build(given.out, given.model, painted(given.model))))
    except (OSError, ValueError, SDXSError, packages.MissingError) as error:
        print(f"build: {error}", file=sys.stderr)
        return 2
    return 0


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _names(folder: Path) -> Iterator[str]:
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    yield from (file.relative_to(folder).as_posix() for file in files)


if __name__ == "__main__":
    sys.exit(main())
