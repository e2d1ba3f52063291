"""How training went: curves of runs, sheets stage by stage, clouds of points, a table of results.

`python -m sdxs.train.figures curves runs/teacher --output teacher.png`, of what is asked for with
`--only alpha kappa_matching lambda_matching`,
`python -m sdxs.train.figures sheet "MSE=runs/warmup-mse" "FM=runs/warmup" --output stages.png` and
`python -m sdxs.train.figures table runs/teacher runs/distill`.
Curves need matplotlib (`pip install -e '.[train]'`).
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdxs.picture import to_pictures
from sdxs.storybook.judges.pixels import GUARDED
from sdxs.storybook.judges.sheets import in_rows
from sdxs.storybook.world.captions import frozen_captions
from sdxs.train.parts.autoencoders import read_autoencoder
from sdxs.train.parts.pairs import Pairs
from sdxs.train.parts.plots import plots, png
from sdxs.train.parts.solver import Model, painter
from sdxs.train.run import stage
from sdxs.train.run.loop import TrainingError
from sdxs.train.run.machine import DEVICE
from sdxs.train.run.options import parser, positive
from sdxs.train.run.stages import MODELS, sampling

MEASURED = (  # by a stage itself, where it does
    "right", "psnr", "psnr_in_boxes", "psnr_anime", "psnr_woodcut",
    "attribute_accuracy", "attribute_accuracy_larger", "faster",
)  # fmt: skip


def metrics(run: Path) -> dict[str, tuple[list[int], list[float]]]:
    """Steps and values of everything a run has logged; of a step done twice, the later."""
    rows = {}
    for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        rows[row.pop("step")] = row
    out: dict[str, tuple[list[int], list[float]]] = {}
    for step in sorted(rows):
        for name, value in rows[step].items():
            steps, values = out.setdefault(name, ([], []))
            steps.append(step)
            values.append(value)
    return out


def curves(runs: list[Path], output: Path, only: list[str]) -> None:
    """A row of plots for each run, one for each number that it has logged, or for those of `only`.

    Raises TrainingError where a run has not logged one of these.
    """
    plt = plots()
    found = {run: metrics(run) for run in runs}
    for run, lines in found.items() if only else ():
        if unknown := [name for name in only if name not in lines]:
            raise TrainingError(f"{run} has not logged {unknown[0]}, but {', '.join(lines)}")
        found[run] = {name: lines[name] for name in only}
    columns = max(len(lines) for lines in found.values())
    figure, axes = plt.subplots(
        len(runs), columns, figsize=(3.2 * columns, 2.3 * len(runs)), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for row, (run, lines) in zip(axes, found.items(), strict=True):
        for axis in row:
            axis.set_axis_off()
        for axis, (name, (steps, values)) in zip(row, lines.items(), strict=False):
            axis.set_axis_on()
            axis.plot(steps, values, linewidth=1)
            axis.set_title(f"{run.name}: {name}", fontsize=9)
            low, high = sorted(values)[len(values) // 50], sorted(values)[-1 - len(values) // 50]
            axis.set_ylim(low - 0.1 * (high - low) - 1e-9, high + 0.1 * (high - low) + 1e-9)
            axis.tick_params(labelsize=7)
    figure.savefig(output, dpi=110)
    plt.close(figure)


def sheet(models: Mapping[str, Path], autoencoder: Path, count: int, output: Path) -> None:
    """A row a model: the first frozen captions, from the same noise; of pairs, their own first."""
    texts = [caption.text for caption in frozen_captions()[:count]]
    vae = read_autoencoder(autoencoder).to(DEVICE)
    rows = {}
    for name, run in models.items():
        if (made_by := stage.read(run)["stage"]) == "pairs":
            latents = Pairs(run).latents[:count].float().to(DEVICE)
            rows[name] = to_pictures(vae.decode(latents).sample.detach())
            continue
        paint = painter(Model.load(run), vae, *sampling(made_by))
        rows[name] = to_pictures(paint(texts, list(range(count))))
    in_rows(rows.items()).save(output, optimize=True)


def table(runs: Mapping[str, Path]) -> str:
    """What stages left, a row each, as Markdown: how long they took and what came of it."""
    heads = ("run", "stage", "seed", "steps", "hours", "attribute accuracy",
             "caption accuracy", "caption accuracy, unseen pairs", "Fréchet", "diversity",
             "sharpness", "right number of things", "purity", "measured by itself")  # fmt: skip
    rows = [heads, ("---",) * len(heads)]
    for name, run in runs.items():
        result = stage.read(run)
        file = run / stage.SCORE
        score = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        spread = score.get("distribution", {})
        guard = score.get("guard", {}).get("seen", {})
        rows.append((
            name, result["stage"], *(str(result.get(key, "")) for key in ("seed", "steps")),
            f"{result['hours']:.2f}", _share(score, "seen", "attribute_accuracy"),
            *(_share(score, pairs, "caption_accuracy") for pairs in ("seen", "unseen")),
            *(str(spread.get(key, "")) for key in ("frechet", "diversity", "sharpness")),
            *(str(guard[name][kind]) if guard else "" for name, kind in GUARDED.items()),
            ", ".join(f"{key} {result[key]:g}" for key in MEASURED if key in result),
        ))  # fmt: skip
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _share(score: Mapping[str, Any], captions: str, accuracy: str) -> str:
    """A share in percent and the bounds of its interval."""
    if captions not in score:
        return ""
    row = score[captions][accuracy]
    return "{:.1f} ({:.1f} to {:.1f})".format(*(100 * row[k] for k in ("share", "lower", "upper")))


def logged(text: str) -> Path:
    """An argparse type: the folder of a run with something to plot."""
    if not (Path(text) / "metrics.jsonl").is_file():
        raise argparse.ArgumentTypeError(f"{text} has no metrics.jsonl: it is no stage's folder")
    return Path(text)


def named(text: str) -> tuple[str, Path]:
    """An argparse type: NAME=FOLDER, or the folder alone, of a model or of pairs."""
    name, _, folder = text.rpartition("=")
    return name or Path(folder).name, stage.finished_by(*MODELS, "pairs")(folder)


def finished(text: str) -> tuple[str, Path]:
    """An argparse type: NAME=FOLDER, or the folder alone, of any stage that is finished."""
    name, _, folder = text.rpartition("=")
    if not (Path(folder) / stage.RESULT).is_file():
        raise argparse.ArgumentTypeError(f"{folder} has no {stage.RESULT}: no stage ended there")
    return name or Path(folder).name, Path(folder)


def main(arguments: list[str] | None = None) -> None:
    ours = parser("figures", __doc__)
    kinds = ours.add_subparsers(dest="kind", required=True)
    plotted = kinds.add_parser("curves", help="what runs have logged")
    plotted.add_argument("runs", type=logged, nargs="+", metavar="FOLDER", help="of a stage")
    plotted.add_argument("--only", nargs="+", default=[], metavar="NAME", help="of these numbers")
    painted = kinds.add_parser("sheet", help="the same captions by several models, or pairs")
    painted.add_argument("models", type=named, nargs="+", metavar="NAME=FOLDER", help="a row each")
    painted.add_argument(
        "--autoencoder", type=stage.finished_by("autoencoder", "decoder"), metavar="FOLDER",
        default="runs/autoencoder", help="what makes pictures of latents",
    )  # fmt: skip
    painted.add_argument("--count", type=positive, default=8, help="captions")
    listed = kinds.add_parser("table", help="what stages left and what it scored, as Markdown")
    listed.add_argument("runs", type=finished, nargs="+", metavar="NAME=FOLDER", help="a row each")
    for kind in (plotted, painted):
        kind.add_argument("--output", type=png, required=True, metavar="PNG", help="where it goes")
    options = ours.parse_args(arguments)
    if options.kind == "table":
        return print(table(dict(options.runs)))
    if options.kind == "curves":
        curves(options.runs, options.output, options.only)
    else:
        sheet(dict(options.models), options.autoencoder, options.count, options.output)
    print(options.output)


if __name__ == "__main__":
    stage.command(main)
