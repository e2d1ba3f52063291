"""Recipes as files: what they lead to, and what is said of one that is wrong."""

import json
from pathlib import Path

import pytest
from tiny import build_multistep

from sdxs.conditions import CONTROLS
from sdxs.storybook.world.artists import ARTISTS
from sdxs.train import recipe
from sdxs.train.parts import commands, recipe_file
from sdxs.train.parts.commands import Chosen
from sdxs.train.run.loop import TrainingError

FROZEN = json.loads((Path(__file__).parent / "data/storybook_commands.json").read_text("utf-8"))
FILES = sorted(recipe_file.RECIPES.glob("*.toml"))
OF_A_KIND = {  # the recipes of published checkpoints: of which kind those are, and their constants
    "sdxs-512": ("sd21", "teacher", "offline"),
    "sdxs-512-dreamshaper": ("sd15", "teacher", "offline"),
    "sdxs-1024": ("sdxl", "offline"),
    "anime": ("sd15", "offline", "student"),
    "controls": ("sd15", "teacher", "student"),
}
OF_OTHERS = {  # what else they take that others made: a folder by that name, looked into later
    "anime": ("style",),
    "controls": ("scribble", "canny", "near", "depth"),
}
SMALL = """
title = "A few stages"
run = "runs/small-{preset}"
[constants]
prompts = "prompts.txt"
[choices]
layout = { values = ["sd", "sdxs"], help = "of the model" }
[switches]
extras = "more"
[presets.full]
[presets.toy]
text = { steps = 2 }
[[stages]]
name = "text"
steps = 5
gates = [{ what = "share", number = "right", least = 0.9 }]
[[stages]]
name = "autoencoder"
[[stages]]
name = "teacher"
text = "@text"
autoencoder = "@autoencoder"
layout = "{layout}"
"""


@pytest.fixture
def small(tmp_path: Path):
    """`small(old, new, …)`: the file of a small recipe, each old text in it replaced by a new."""

    def write(*changes: str) -> Path:
        text = SMALL
        for old, new in zip(changes[::2], changes[1::2], strict=True):
            assert old in text
            text = text.replace(old, new)
        file = tmp_path / "small.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


@pytest.mark.parametrize("combination", FROZEN["combinations"])
def test_storybook_has_the_commands_that_it_always_had(combination: str) -> None:
    preset, layout, *on = combination.split()
    found = recipe_file.read(recipe_file.find("storybook"))
    chosen = Chosen({"preset": preset, "layout": layout}, frozenset(on))
    *every, last = map(str, commands.parts(found, chosen, Path("RUN")))
    assert every == [FROZEN["commands"][at] for at in FROZEN["combinations"][combination]]
    shown = "upscale" if "upscale" in on else "decoder --large RUN/autoencoder"
    assert last == (
        "python -m sdxs.train.export --out RUN/checkpoint --model RUN/average "
        f"--decoder RUN/{shown}"
    )


def test_what_scores_are_asked() -> None:
    found = recipe_file.read(recipe_file.find("storybook"))
    for layout, on, drawn in (("sd", (), "decoder"), ("sdxs", ("upscale",), "autoencoder")):
        chosen = Chosen({"preset": "s", "layout": layout}, frozenset(on))
        every = {part.name: part for part in commands.parts(found, chosen, Path("RUN"))}
        first = ("RUN/teacher", "--autoencoder", "RUN/autoencoder", "--pictures", "5000")
        assert every["teacher"].scoring == (*first, "--guarded", "250")
        assert every["average"].scoring[2] == f"RUN/{drawn}" and not every["text"].scoring
        assert every["distill"].scoring[2:5] == ("RUN/autoencoder", "--pictures", "5000")


def test_every_control_and_artist_has_its_stages() -> None:
    every = {entry.name for entry in recipe_file.read(recipe_file.find("storybook")).stages}
    assert {f"larger-{control}" for control in CONTROLS} < every
    assert {f"mean-{artist}" for artist in ARTISTS} < every


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random multi-step checkpoints of each kind."""
    folder = tmp_path_factory.mktemp("kinds")
    for kind, *_ in OF_A_KIND.values():
        build_multistep(folder / kind, kind)
    for name in sum(OF_OTHERS.values(), ()):
        (folder / name).mkdir()
    (folder / "prompts.txt").touch()
    return folder


@pytest.mark.parametrize("preset", [0, 1])
@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_every_recipe_is_in_order(
    file: Path, preset: int, kinds: Path, ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(kinds)
    found = recipe_file.read(file)
    everything = [f"--{name}" for name in found.switches]
    kind, *given = OF_A_KIND.get(file.stem, ("",))
    sets = [word for name in given for word in ("--set", f"{name}={kinds / kind}")]
    for name in OF_OTHERS.get(file.stem, ()):
        sets += ["--set", f"{name}={kinds / name}"]
    asked = [file, "--check", "--preset", list(found.presets)[preset], *everything, *sets]
    status, said, _ = ran(recipe.main, *asked)
    assert status == 0 and "all in order; nothing was run" in said


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_every_reference_leads_somewhere(file: Path) -> None:
    found = recipe_file.read(file)
    assert list(found.presets)[-1] == "toy"
    for words in ({}, {"preset": "toy"}):
        chosen = Chosen(commands.unasked(found) | words, frozenset(found.switches))
        every = commands.parts(found, chosen, Path("RUN"))
        assert len(every) > 1 and not any("{" in str(part) for part in every)


def test_the_form_that_the_documents_show_is_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/training.md").read_text("utf-8")
    (tmp_path / "mine.toml").write_text(page.split("```toml\n")[1].split("```")[0], "utf-8")
    found = recipe_file.read(tmp_path / "mine.toml")
    assert [entry.command for entry in found.stages] == ["warmup"] and found.score
    assert found.choices and found.switches and found.constants and len(found.presets) == 2


def test_nothing_is_run_to_check(small, ran, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    status, said, _ = ran(
        recipe.main, small(), "--check", "--preset", "toy", "--layout", "sdxs",
        "--set", "text.lr=0.01", "--run", "elsewhere",
    )  # fmt: skip
    assert (
        status == 0
        and "$ python -m sdxs.train.text --run elsewhere/text --steps 2 --lr 0.01" in said
    )
    assert "gate: share, at least 0.9" in said and "--layout sdxs" in said
    assert {path.name for path in tmp_path.iterdir()} == {"small.toml"}


def test_a_constant_may_be_set_and_a_stage_apart_from_its_command(small, ran) -> None:
    other = 'name = "vae"\ncommand = "autoencoder"\nbegin = "{prompts}"'
    file = small('name = "autoencoder"', other, "@autoencoder", "@vae")
    read = recipe_file.read(file)
    chosen = Chosen(commands.unasked(read), changes={"autoencoder": {"lr": 1}, "vae": {"lr": 2}})
    assert str(commands.parts(read, chosen, Path("R"))[1]).endswith("--begin prompts.txt --lr 2")
    with pytest.raises(TrainingError, match=r"other\.txt is not what autoencoder leaves behind"):
        ran(recipe.main, file, "--check", "--set", "prompts=other.txt")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("title =", "title", "is not TOML: Expected '=' after a key"),
        ('title = "A few stages"', "", "at its top: title is missing"),
        ("[switches]", "[swiches]", "swiches says nothing: did you mean switches?"),
        ("[[stages]]\nname = \"text\"", "[[stages]]\nname = 3", "name is not text"),
        ("least = 0.9", "least = 0.9, most = 1", "asks for one of least and most"),
        ('"text"', '"te/xt"', "'te/xt' cannot be the name of a folder"),
        ("text = { steps = 2 }", "text = 2", "preset toy: text is not a table"),
        ("text = { steps", "txt = { steps", "no stage is called txt: did you mean text?"),
        ("@text", "@texts", "stage teacher, text: no stage is called texts: did you mean text?"),
        ("@autoencoder", "@autoencoder if not extra", "when 'extra' is never: did you mean"),
        ("@autoencoder", "@autoencoder if extras", "no earlier stage of this choice is @auto"),
        ("@autoencoder", "@teacher", "no earlier stage of this choice is @teacher: put it before"),
        ("@autoencoder", "@text", "--autoencoder: runs/small-full/text is not what autoencoder"),
        ('name = "autoencoder"', "each = { a = 1 }\nstages = []", "stage 2, each: a is not a list"),
        ('name = "autoencoder"', 'name = "average"\n[[stages]]\nname = "distill"\nadversary = 1\n'
         'student = "@average"\n[[stages]]\nname = "autoencoder"',
         "stage distill: adversary and reward need --autoencoder"),
        ("{layout}", "{layouts}", "no constant and no choice: did you mean layout?"),
        ("small-{preset}", "small-{size}", "run: {size} is no constant"),
        ('name = "autoencoder"', 'name = "autoencoder"\nwhen = "extra"',
         "when 'extra' is never: did you mean extras?"),
        ('name = "autoencoder"', 'name = "autoencoder"\nwhen = "extras"',
         "no earlier stage of this choice is @autoencoder"),
        ('name = "autoencoder"', 'name = "text"', "an earlier one has that name"),
        ('extras = "more"', "extras = 3", "switch extras: 3 is not a table"),
        ('extras = "more"', 'extras = { when = "layout=sd" }', "switch extras: help is missing"),
        ('extras = "more"', 'extras = { help = "more", when = "layout=ds" }',
         "switch extras: when 'layout=ds' is never: did you mean layout=sd?"),
        ('name = "text"', 'name = "text"\ncommand = "txet"', "did you mean text?"),
        ('name = "text"', 'name = "text"\ncommand = "recipe"', "no command sdxs.train.recipe"),
        ("steps = 5", "step = 5", "sdxs.train.text has no --step: did you mean --steps?"),
        ("steps = 5", 'steps = "many"', "argument --steps: invalid positive value: 'many'"),
        ("steps = 5", "steps = 0", "argument --steps: 0 is below 1"),
        ('layout = "{layout}"', "batch = 100\nmicro-batch = 8",
         "stage teacher: a batch of 100 is no whole number of micro-batches of 8"),
        ('layout = "{layout}"', '[[stages]]\nname = "pairs"\nteacher = "@teacher"\n'
         'prompts = "absent.jsonl:text"', "stage pairs, prompts: there is no absent.jsonl"),
        ('layout = "{layout}"', '[[stages]]\nname = "average"\n[[stages]]\nname = "distill"\n'
         'student = "@average"\nautoencoder = "@autoencoder"\nadversary = 1\nreal = "./absent"',
         "stage distill, real: there is no ./absent"),
        ('layout = "{layout}"', 'layout = "tall"', "argument --layout: invalid choice: 'tall'"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_recipe_is_one_line(old: str, new: str, said: str, small, ran) -> None:
    file = small(old, new)
    with pytest.raises(TrainingError) as error:
        ran(recipe.main, file, "--check")
    assert said in str(error.value) and "\n" not in str(error.value)
    assert str(error.value).startswith(str(file))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["storybok"], "give the path of a TOML file, or a name; did you mean storybook?"),
        (["storybook", "--set", "warmpu.steps=3"], "is called warmpu: did you mean warmup?"),
        (["storybook", "--set", "rewards=3"], "is called rewards: did you mean reward?"),
        (["storybook", "--check", "--pruned", "--layout", "sdxs"],
         "storybook.toml, --pruned: it changes nothing unless layout=sd: choose that, or"),
        (["storybook", "--set", "score.count=0"], "argument --count: 0 is below 1"),
    ],
)  # fmt: skip
def test_a_mistake_on_the_command_line_is_one_line(asked: list[str], said: str, ran) -> None:
    with pytest.raises(TrainingError) as error:
        ran(recipe.main, *asked)
    assert said in str(error.value) and "\n" not in str(error.value)
