"""The paper's tables, and pictures for judges elsewhere: python -m sdxs.evaluate COMMAND

`efficiency` prints tables 1 and 2, `quality` table 3, both in Markdown; `geneval` and `compbench`
write pictures for the judges of these benchmarks. What was made is not made again.
"""

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from sdxs.bench.__main__ import count
from sdxs.bench.plot import png, pyplot
from sdxs.errors import InputError, PromptCutWarning, SDXSError, commanded
from sdxs.evaluate import efficiency, figures, quality, report
from sdxs.evaluate.layouts import LAYOUTS
from sdxs.evaluate.metrics import CLIP_VIT_G, FID, CLIPScore, pictures_in
from sdxs.evaluate.painters import KINDS, OURS, Model, model, open_painter
from sdxs.evaluate.pictures import paint
from sdxs.evaluate.prompts import read_prompts
from sdxs.evaluate.stages import ARCHITECTURES
from sdxs.model.hardware import choose_device, choose_dtype
from sdxs.temporary import ended_by_signals

NO_CLIP = "none"


def main(arguments: Sequence[str] | None = None) -> int:
    with commanded(), ended_by_signals():
        options = parser().parse_args(arguments)
        warnings.simplefilter("ignore", PromptCutWarning)  # of 5,000 prompts
        for library in (diffusers_logging, transformers_logging):
            library.set_verbosity_error()
            library.disable_progress_bar()
        try:
            run(options)
        except (SDXSError, OSError) as error:
            print(f"sdxs: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            return 130
    return 0


def run(options: argparse.Namespace) -> None:
    """Measure or paint, and print. Raises SDXSError."""
    device = choose_device(options.device)
    place = {"device": device, "dtype": choose_dtype(options.dtype, device)}
    if vars(options).get("figure"):
        pyplot()  # before minutes are spent
    result: dict[str, Any]
    if options.command == "efficiency":
        names = options.only or list(ARCHITECTURES)
        rounds = {"repeats": options.repeats, "warmup": options.warmup}
        result = efficiency.measure(names, **place, **rounds, compiled=options.compile)
        print(efficiency.table(result), end="")
    elif options.command == "quality":
        prompts = read_prompts(options.prompts, options.field, options.count)
        judges = opened_judges(options, len(prompts), device)
        painted = {"seed": options.seed, "batch": options.batch}
        result = quality.measure(options.model, prompts, options.out, judges, **place, **painted)
        print(quality.table(result), end="")
    else:
        result = laid_out(options, place)
    report.save(result, options.json)
    if vars(options).get("figure"):
        draw = figures.efficiency if options.command == "efficiency" else figures.quality
        draw(result, options.figure)


def opened_judges(options: argparse.Namespace, pictures: int, device: Any) -> quality.Judges:
    """Before anything is painted, so that what is missing shows at once."""
    real = pictures_in(options.real) if options.real else []
    if real and pictures < 2:
        raise InputError("FID takes two pictures or more: give more prompts, or no --real")
    fid = FID(real, device, options.inception) if real else None
    clip = None if options.clip == NO_CLIP else CLIPScore(options.clip, device)
    told = {"real": len(real), "clip_model": None if clip is None else options.clip}
    return quality.Judges(fid, clip, told)


def laid_out(options: argparse.Namespace, place: dict[str, Any]) -> dict[str, Any]:
    """Pictures for a benchmark's judge, and a line of them."""
    asked: Model = options.model
    laid = LAYOUTS[options.command][1](options.file, options.samples, options.seed)
    facts = report.facts(**place)
    settings = {**asked.settings(), "seed": options.seed}
    made = paint(
        options.out, laid.tasks, {**settings, "dtype": facts["dtype"]},
        lambda: open_painter(asked, **place), options.batch, asked.title,
    )  # fmt: skip
    laid.write_texts(options.out)  # once it is known that the folder is theirs
    print(f"{asked.title}: {made['pictures']} pictures in {options.out}; {report.told(facts)}")
    return {"table": options.command, **facts, **made, "samples": options.samples}


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(prog="python -m sdxs.evaluate", description=_first(__doc__))
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add = _command(commands, "efficiency", "parameters, latency and evaluations by stage", True)
    add("--only", action="append", choices=list(ARCHITECTURES), metavar="NAME",
        help=f"once or more, of {', '.join(ARCHITECTURES)} (default: all)")  # fmt: skip
    add("--repeats", type=count, default=10, help="timed evaluations (default: %(default)s)")
    add("--warmup", type=count, default=2, help="untimed ones before (default: %(default)s)")
    add("--compile", action="store_true", help="by torch.compile, as the paper's table 3 was")

    add = _command(commands, "quality", "FID and CLIP score of models", True)
    _painting(add, several=True)
    add("--prompts", type=Path, required=True, help=".txt, .jsonl, .csv or .tsv")
    add("--field", help="that holds the prompts (default: prompt, caption or text)")
    add("--count", type=count, help="the first prompts alone")
    add("--real", type=Path, metavar="FOLDER", help="real pictures; without them there is no FID")
    add("--inception", type=Path, metavar="FILE", help="its weights (default: fetched)")
    add("--clip", default=CLIP_VIT_G, metavar="NAME",
        help=f"a Hub id or a folder, or {NO_CLIP} (default: %(default)s)")  # fmt: skip

    for name, (title, _, samples) in LAYOUTS.items():
        add = _command(commands, name, f"pictures in the layout of {title}'s judge", False)
        add("file", type=Path, help="the benchmark's prompts")
        _painting(add, several=False)
        add("--samples", type=count, default=samples, help="of a prompt (default: %(default)s)")
    return whole


def _first(doc: str | None) -> str:
    return (doc or "").splitlines()[0].partition(":")[0]


def _command(commands: Any, name: str, words: str, figure: bool) -> Any:
    made = commands.add_parser(name, help=words, description=words)
    made.add_argument("--device", default="auto", help="cuda, mps or cpu (default: the best)")
    made.add_argument("--dtype", default="auto",
                      help="float32, float16 or bfloat16 (default: the device's best)")  # fmt: skip
    made.add_argument("--json", type=_file, metavar="FILE", help="also write the result")
    if figure:
        made.add_argument("--figure", type=png, metavar="PNG", help="also draw it")
    return made.add_argument


def _painting(add: Any, several: bool) -> None:
    kinds = ", ".join((OURS, *KINDS))
    add("--model", type=_model, required=True, action="append" if several else "store",
        metavar="NAME[=KIND]", help=f"a name, folder or Hub id with @revision; kinds: {kinds}"
        + "; once or more" * several)  # fmt: skip
    add("--out", type=Path, required=True, metavar="FOLDER", help="where the pictures go")
    add("--seed", type=int, default=0, help="of the first picture (default: %(default)s)")
    add("--batch", type=count, default=1, help="pictures at once (default: %(default)s)")


def _file(text: str) -> Path:
    """Where a file can go, so that it is known before anything is measured."""
    path = Path(text)
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path.parent}")
    return path


def _model(text: str) -> Model:
    try:
        return model(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    sys.exit(main())
