"""The recipe as one command, at toy size: a checkpoint comes of it, and gates are minded."""

import json
import math
from pathlib import Path

import pytest
import torch
from PIL import Image

from sdxs import SDXS
from sdxs.storybook import evaluate
from sdxs.storybook.judges.evaluator import Evaluator
from sdxs.storybook.judges.sheets import MARGIN
from sdxs.train import evaluator, export, figures, recipe, score
from sdxs.train.parts import commands, recipe_file
from sdxs.train.parts.commands import Chosen, Part
from sdxs.train.parts.gates import Gate
from sdxs.train.run import loop, stage

STORYBOOK = recipe_file.read(recipe_file.find("storybook"))


def parts(root: Path, *on: str, **words: str) -> list[Part]:
    """The storybook recipe's, as it was chosen."""
    words = commands.unasked(STORYBOOK) | words
    return commands.parts(STORYBOOK, Chosen(words, frozenset(on)), root)


def follow(folder: Path, *choices: str, name: str = "storybook") -> None:
    """A recipe with an evaluator that knows nothing: folder/run, and folder/weights/toy of it."""
    torch.manual_seed(0)
    Evaluator().save(folder / "weights/evaluator")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SDXS_WEIGHTS", str(folder / "weights"))
        recipe.main([name, "--preset", "toy", "--run", str(folder / "run"), "--out",
                     str(folder / "weights/toy"), *choices])  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe's stages, past gates that a toy cannot pass."""
    folder = tmp_path_factory.mktemp("recipe")
    follow(folder, "--straight", "--past-gates")
    return folder


@pytest.fixture(autouse=True)
def judged_by_a_toy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "root" in request.fixturenames:
        monkeypatch.setenv("SDXS_WEIGHTS", str(request.getfixturevalue("root") / "weights"))


def test_it_leads_to_a_checkpoint_that_paints(root: Path, capsys) -> None:
    for name in ("blocks", "straighten", "warmup", "distill", "texture"):
        result = stage.read(root / "run" / name)
        assert result["hours"] >= 0 and result["hardware"] and result["seed"]
    model = SDXS.load(str(root / "weights/toy"))
    assert model.size == (64, 64)
    assert model("a red ball", seed=3) != model("a red ball", seed=3, decoder="large")
    assert evaluate.main(["--checkpoint", "toy", "--count", "3"]) == 0
    table, last = capsys.readouterr().out.rsplit("\n", 2)[:2]
    found = json.loads(last)
    assert found["checkpoint"] == "toy" and found["seen"]["caption_accuracy"]["n"] == 3
    assert all(name.replace("_", " ") in table for name in found["unseen"])


@pytest.mark.long
def test_ablations_twice_the_size_controls_and_styles(tmp_path: Path, monkeypatch, capsys) -> None:
    follow(tmp_path, "--straight", "--past-gates", "--ablations", "--upscale", "--extras")
    said = capsys.readouterr().out
    every = parts(tmp_path / "run", "straight", "upscale", "ablations", "extras", preset="toy")
    for part in every[:-1]:
        assert f"$ {part}\n" in said and stage.read(part.run)["hours"] >= 0
    monkeypatch.setenv("SDXS_WEIGHTS", str(tmp_path / "weights"))
    run, made = tmp_path / "run", str(tmp_path / "weights/toy")
    model = SDXS.load(made)
    assert model.size == (128, 128) and model("a red ball").size == (128, 128)
    wears_and_sees(made, run)
    assert evaluate.main(["--checkpoint", "toy", "--count", "3"]) == 0


def wears_and_sees(made: str, run: Path) -> None:
    """The checkpoint paints with the style and under the control that the recipe left."""
    model = SDXS.load(
        made, styles={"anime": str(run / "mean-anime/style")},
        controls={"sketch": str(run / "larger-sketch/control")},
    )  # fmt: skip
    seen = {"control": "sketch", "control_image": Image.new("RGB", (128, 128))}
    assert model("a red ball", style="anime", **seen).size == (128, 128)


def test_finished_stages_are_not_run_again_and_a_failed_gate_ends_it(root: Path, capsys) -> None:
    before = (root / "run/text/result.json").stat().st_mtime_ns
    with pytest.raises(loop.TrainingError, match=r"ends at text: .*--set text\.steps=N"):
        follow(root, "--straight")
    said = capsys.readouterr().out
    assert "finished before" in said and "FAILED: share of attributes read off" in said
    assert "$ python -m sdxs.train.text --run" in said
    assert (root / "run/text/result.json").stat().st_mtime_ns == before
    with pytest.raises(
        loop.TrainingError, match=r"(?s)was begun by .*--steps 2\nnot by\n.*--steps 3\n"
    ):
        follow(root, "--straight", "--set", "text.steps=3")


def test_a_stage_that_another_command_began_is_refused(tmp_path: Path) -> None:
    """If it has left anything."""
    ours, other = (Part("text", "text", tmp_path, ["--seed", seed]) for seed in "12")
    assert recipe.begin(ours) and recipe.begin(other)
    (tmp_path / stage.BEGUN).touch()
    assert recipe.begin(other)
    with pytest.raises(loop.TrainingError, match="was begun by another command"):
        recipe.begin(ours)


def test_what_is_older_than_what_it_was_made_of_is_not_taken(tmp_path: Path) -> None:
    text, autoencoder, teacher = parts(tmp_path, layout="sdxs")[:3]
    for part in (text, autoencoder, teacher):
        assert recipe.begin(part)
        stage.finish(part.run, part.command, 1)
    result = stage.read(text.run) | {"at": "2999-01-01T00:00:00+00:00"}
    (text.run / stage.RESULT).write_text(json.dumps(result))
    assert not recipe.begin(autoencoder)  # which does not take it
    with pytest.raises(loop.TrainingError, match=f"{teacher.run} is older than {text.run}"):
        recipe.begin(teacher)


def judged(b: float, frechet: float, diversity: float, sharpness: float, things=0.98) -> dict:
    bound = {"share": b, "lower": b - 0.02}
    shape = {"frechet": frechet, "diversity": diversity, "sharpness": sharpness}
    captions = {"caption_accuracy": bound}
    guard = {"seen": {"things": {"share": things}, "purity": {"mean": 0.9}}}
    return {"seen": captions, "unseen": captions, "distribution": shape, "guard": guard}


def test_every_gate_says_what_it_should(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of numbers given by hand, no two of them alike."""

    def done(name: str, kind: str, **facts: float | str) -> None:
        (tmp_path / name).mkdir()
        stage.finish(tmp_path / name, kind, 1, **facts)

    done("text", "text", right=0.995)
    done("autoencoder", "autoencoder", psnr_in_boxes=29.0)
    done("decoder", "decoder", psnr_in_boxes=31.0, attribute_accuracy=0.98,
         attribute_accuracy_larger=0.985, faster=3.0)  # fmt: skip
    done("reader", "reader", right=0.99, unseen=0.94, counted=0.98, counted_twins=0.85)
    done("upscale", "upscale", psnr_in_boxes=27.0, sharpness_painted=0.005, sharpness_renders=0.008)
    done("teacher", "teacher", layout="sd")
    for name in ("blocks", "warmup-mse", "warmup", "distill", "average"):
        done(name, name.partition("-")[0])
    scores = {
        "teacher": judged(0.95, 2.0, 7.0, 0.03),
        "blocks": judged(0.91, 1.0, 8.0, 0.02),
        "warmup-mse": judged(0.5, 9.0, 4.0, 0.01),
        "warmup": judged(0.6, 8.0, 5.0, 0.015),
        "distill": judged(0.7, 5.0, 6.0, 0.02),
        "average": judged(0.85, 3.0, 6.3, 0.02),
    }
    monkeypatch.setattr(recipe, "scored", lambda part: scores[part.name])
    every = {part.name: part for part in parts(tmp_path, "ablations", "upscale")}
    every |= {part.name: part for part in parts(tmp_path, "ablations")}
    found = {
        name: [(round(value, 6), gate.passed(value)) for gate, value in
               recipe.reached(every[name], list(every.values()))]
        for name in ("text", "autoencoder", "decoder", "reader", "upscale", *scores)
    }  # fmt: skip
    assert found == {
        "text": [(0.995, True)],
        "autoencoder": [(29.0, False)],
        "decoder": [(31.0, True), (0.5, True), (3.0, True)],
        "reader": [(0.99, True), (0.94, False), (0.98, True), (0.85, False)],
        "upscale": [(27.0, True), (0.625, False)],
        "teacher": [(0.93, True)],
        "blocks": [(4.0, True)],
        "warmup-mse": [],
        "warmup": [(1.5, True)],
        "distill": [],
        "average": [
            (0.83, False),
            (0.83, True),
            (10.0, False),
            (1.5, True),
            (0.9, True),
            (0.98, True),
            (0.9, False),
        ],
    }


def test_nothing_is_scored_twice(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("scored again")

    monkeypatch.setattr(score, "score", never)
    every = {part.name: part for part in parts(root / "run", "straight", preset="toy")}
    for name in ("teacher", "blocks", "straighten", "warmup", "distill", "average"):
        found = recipe.scored(every[name])
    assert found["autoencoder"] != recipe.scored(every["distill"])["autoencoder"]


def test_a_sheet_shows_every_model(root: Path, tmp_path: Path) -> None:
    run = root / "run"
    figures.main(
        ["sheet", f"FM={run / 'warmup'}", str(run / "blocks"), str(run / "straighten"),
         "--autoencoder", str(run / "decoder"), "--count", "2", "--output", str(tmp_path / "s.png")]
    )  # fmt: skip
    page = Image.open(tmp_path / "s.png")
    assert page.height == 3 * (64 + MARGIN) + MARGIN


def test_what_is_too_large_does_not_ship(root: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(export, "LIMIT", 1000)
    run = root / "run"
    parts = {"model": run / "average", "decoder": run / "decoder", "large": None}
    with pytest.raises(loop.TrainingError, match="over 0: choose a smaller preset"):
        export.export(export.Options(out=tmp_path / "out", **parts))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("asked", "value", "passed"),
    [({"least": 30}, 30, True), ({"least": 30}, 29.9, False), ({"most": 1}, 1, True),
     ({"most": 1}, 1.1, False), ({"least": 0}, float("nan"), False)],
)  # fmt: skip
def test_gates(asked: dict[str, float], value: float, passed: bool) -> None:
    gate = Gate("x", "x", **asked)
    assert gate.passed(value) == passed and ("passed" in gate.told(value)) == passed


def test_a_gate_compares_with_another_number() -> None:
    numbers = {"own": 0.6, "other/own": 0.9, "none": 0.0}
    assert Gate("x", "own", least=1).value(numbers.__getitem__) == 0.6
    assert Gate("x", "own", below="other/own").value(numbers.__getitem__) == pytest.approx(30)
    assert Gate("x", "own", by="other/own").value(numbers.__getitem__) == pytest.approx(2 / 3)
    assert math.isnan(Gate("x", "own", by="none", least=0).value(numbers.__getitem__))


def test_a_gate_on_what_no_stage_says_is_named(tmp_path: Path) -> None:
    part = Part("text", "text", tmp_path, [], gates=(Gate("x", "rigth", least=0),))
    stage.finish(tmp_path, "text", 1, right=0.5)
    with pytest.raises(loop.TrainingError, match=r"text: a gate asks for rigth, .* mean right"):
        list(recipe.reached(part, [part]))


def test_a_stage_says_what_must_run_first(root: Path, tmp_path: Path, ran) -> None:
    for folder, said in (
        (tmp_path, "run python -m sdxs.train.blocks to its end first"),
        (root / "run/text", "but text"),
    ):
        status, _, told = ran(score.main, folder)
        assert status == 2 and said in told


def test_the_evaluator_is_made_by_its_own_command(root: Path, tmp_path: Path) -> None:
    evaluator.main(
        ["--run", str(tmp_path / "e"), "--autoencoder", str(root / "run/autoencoder"), "--steps",
         "2", "--batch", "2", "--pictures", "4", "--resolution", "64", "--held-out", "8"]
    )  # fmt: skip
    assert 0 <= stage.read(tmp_path / "e")["renders"] <= 1
    assert isinstance(Evaluator.load(tmp_path / "e/evaluator"), Evaluator)
