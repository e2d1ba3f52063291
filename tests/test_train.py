"""The stages: their maths against references, and resume after SIGKILL, at toy size."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.ndimage import uniform_filter
from skimage import metrics
from torch import nn
from torch.nn import functional as F

from sdxs import SDXS
from sdxs.config import STORYBOOK_WORDS, UNSEEN_PAIRS
from sdxs.storybook import evaluate
from sdxs.storybook.captions import describe
from sdxs.storybook.render import render
from sdxs.storybook.scenes import sample_scenes
from sdxs.train import (
    autoencoder,
    distill,
    evaluator,
    export,
    loop,
    pairs,
    score,
    teacher,
    text,
    warmup,
)
from sdxs.train.autoencoder import build, reconstruction_loss
from sdxs.train.latents import occupied
from sdxs.train.losses import encoder_features, ssim
from sdxs.train.models import PRESETS, build_scheduler, build_unet


def test_ssim_of_a_thing_with_itself_is_one_and_less_with_another():
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 3, 16, 16, generator=g), torch.randn(2, 3, 16, 16, generator=g)
    assert ssim(a, a).item() == pytest.approx(1, abs=1e-5)
    assert ssim(a, b) < 0.6


def test_ssim_agrees_with_scikit_image():
    g = torch.Generator().manual_seed(1)
    b = torch.randn(1, 1, 24, 24, generator=g)
    a = b + 0.5 * torch.randn(b.shape, generator=g)
    spread = float(b.var())
    # ours: c1 = .01 var, c2 = .03 var; theirs: c = (K L)^2
    theirs = metrics.structural_similarity(
        a[0, 0].double().numpy(),
        b[0, 0].double().numpy(),
        win_size=3,
        data_range=1.0,
        K1=np.sqrt(0.01 * spread + 1e-6),
        K2=np.sqrt(0.03 * spread + 1e-6),
        use_sample_covariance=False,
    )
    assert ssim(a, b).item() == pytest.approx(theirs, abs=1e-3)


def test_encoder_features_are_what_the_unet_computes_itself():
    torch.manual_seed(0)
    unet = build_unet(PRESETS["toy"], 64).eval()
    seen = []
    hooks = [
        block.register_forward_hook(lambda _, __, out: seen.append(out[1][0]))
        for block in unet.down_blocks
    ]
    x, t, context = torch.randn(2, 4, 8, 8), torch.tensor([20, 20]), torch.randn(2, 5, 32)
    with torch.no_grad():
        unet(x, t, context)
        for hook in hooks:
            hook.remove()
        ours = encoder_features(unet, x, t, context)
    assert len(ours) == 3
    for a, b in zip(ours, seen, strict=True):
        assert torch.equal(a, b)


def test_the_one_step_of_the_scheduler_lands_on_x0():
    scheduler = build_scheduler()
    scheduler.set_timesteps(1)
    assert scheduler.timesteps.tolist() == [999]
    alpha = scheduler.alphas_cumprod[999]
    x, v = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8)
    x0 = scheduler.step(v, scheduler.timesteps[0], x).prev_sample
    assert torch.allclose(x0, alpha.sqrt() * x - (1 - alpha).sqrt() * v, atol=1e-5)


def test_reconstruction_loss_is_zero_only_on_the_target():
    x = torch.rand(1, 3, 16, 16)
    assert reconstruction_loss(x, x) == 0
    assert reconstruction_loss(x + 0.1, x) > 0.09


def test_the_autoencoder_is_eight_times_smaller():
    z = build(12).encode(torch.zeros(1, 3, 64, 64)).latents
    assert z.shape == (1, 4, 8, 8)


def test_roughness_agrees_with_scipys_uniform_filter():
    z = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)).double()

    def mean_of_nine(x):
        return uniform_filter(x, (0, 0, 3, 3), mode="constant")

    around = mean_of_nine(z.numpy()) / mean_of_nine(np.ones(z.shape))  # at the edge, of fewer
    wanted = np.square(z.numpy() - around).mean()
    assert autoencoder.roughness(z).item() == pytest.approx(wanted, rel=1e-9)


def test_boxes_of_things_hold_the_things():
    scenes = sample_scenes(20, 3)
    side = 32
    for scene, seen in zip(scenes, render(scenes, 128).seen, strict=True):
        cells = occupied(scene, side)
        assert cells.shape == (1, side, side)
        share = F.avg_pool2d(seen.amax(0, keepdim=True), 128 // side)  # of each cell, (1, 32, 32)
        assert share[cells].sum() > 0.9 * share.sum()
        assert cells.sum() < 5 * share.sum()  # a cone fills a third of its box


class Walk:
    """A stage in miniature: a weight that takes random steps."""

    def __init__(self) -> None:
        self.model = nn.Linear(3, 1)
        nn.init.zeros_(self.model.weight)

    def step(self, index: int, generator: torch.Generator) -> dict[str, float]:
        with torch.no_grad():
            self.model.weight += torch.randn(1, 3, generator=generator)
        return {"norm": self.model.weight.norm().item()}

    def run(self, folder, steps, flat=0.0, **settings):
        loop.run(
            folder,
            {"model": self.model},
            self.step,
            steps=steps,
            seed=1,
            settings=settings,
            title="walk",
            save_seconds=0,
            flat=flat,
        )
        return self.model.weight


def test_a_torn_checkpoint_is_never_chosen(tmp_path):
    Walk().run(tmp_path, 5)
    newest, older = sorted(tmp_path.glob("state-*.pt"), reverse=True)
    newest.write_bytes(newest.read_bytes()[:-100])
    state = loop.load_state(tmp_path)
    assert state["step"] == 4 and f"{4:08d}" in older.name


def test_resuming_with_other_settings_names_the_setting(tmp_path):
    Walk().run(tmp_path, 3, lr=0.1)
    with pytest.raises(loop.TrainingError, match=r"lr=0\.1, not 0\.2"):
        Walk().run(tmp_path, 3, lr=0.2)


def test_a_finished_run_does_nothing_more(tmp_path):
    first = Walk().run(tmp_path, 4).clone()
    assert torch.equal(Walk().run(tmp_path, 4), first)


def test_steps_may_change_while_nothing_depends_on_how_many_there_are(tmp_path):
    whole = Walk().run(tmp_path / "whole", 8)
    Walk().run(tmp_path / "longer", 4, flat=1.0)
    assert torch.equal(Walk().run(tmp_path / "longer", 8, flat=1.0), whole)
    Walk().run(tmp_path / "refused", 4, flat=0.5)
    with pytest.raises(loop.TrainingError, match="steps=4, not 8"):
        Walk().run(tmp_path / "refused", 8, flat=0.5)


def test_a_loss_that_is_not_finite_stops_with_its_name(tmp_path):
    with pytest.raises(loop.TrainingError, match="loss is nan at step 0"):
        loop.run(
            tmp_path,
            {},
            lambda i, g: {"loss": float("nan")},
            steps=1,
            seed=1,
            settings={},
            title="t",
        )


TEACHER = """
import sys, torch
from pathlib import Path
from sdxs.train import teacher
torch.set_num_threads(1)
run, vae, text = map(Path, sys.argv[1:])
teacher.train(run, autoencoder=vae, text=text, preset="toy", steps=30, layout_steps=9, batch=2,
              pictures=16, lr=1e-3, seed=5, resolution=32, save_seconds=0)
"""


def start_teacher(run, vae, text):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", TEACHER, str(run), str(vae), str(text)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def test_a_killed_stage_resumes_to_the_same_weights_bit_for_bit(tmp_path):
    torch.manual_seed(0)
    vae = tmp_path / "vae"
    build(12).save_pretrained(vae)
    words = tmp_path / "text"
    text.train(words, preset="toy", steps=1, batch=2, lr=1e-3, seed=1)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = start_teacher(whole, vae, words)
    assert process.wait(240) == 0, process.stderr.read().decode()
    rng = random.Random(0)
    for _ in range(2):
        process = start_teacher(killed, vae, words)
        already = set(killed.glob("state-*"))
        deadline = time.monotonic() + 120
        while set(killed.glob("state-*")) <= already and time.monotonic() < deadline:
            time.sleep(0.02)  # wait until it is in the middle of the steps
        time.sleep(rng.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert any(killed.glob("state-*")) and not (killed / "unet").exists()
    process = start_teacher(killed, vae, words)
    assert process.wait(240) == 0, process.stderr.read().decode()
    for part in ("unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"):
        ours, wanted = load_file(killed / part), load_file(whole / part)
        assert ours.keys() == wanted.keys()
        assert all(torch.equal(ours[name], wanted[name]) for name in wanted)


def resumes(train, run):
    """A run that goes on from its last but one checkpoint ends as the one that made it."""
    train(run)
    again = shutil.copytree(run, run.with_name(f"{run.name}-again"))
    shutil.rmtree(again / "unet")
    max(again.glob("state-*")).unlink()
    assert loop.load_state(again)["step"] > 0
    train(again)
    first, second = (
        load_file(folder / "unet/diffusion_pytorch_model.safetensors") for folder in (run, again)
    )
    assert all(torch.equal(first[name], second[name]) for name in first | second)


def test_the_commands_lead_from_nothing_to_a_checkpoint_that_paints(tmp_path, capsys, monkeypatch):
    def path(name):
        return str(tmp_path / name)

    few = ["--steps", "2", "--batch", "2"]
    small = ["--pictures", "4", "--resolution", "64"]
    parts = ["--teacher", path("t"), "--autoencoder", path("v/vae")]
    autoencoder.main(["--run", path("v"), *few, *small, "--width", "12"])
    text.main(["--run", path("x"), *few, "--preset", "toy"])
    teacher.main(
        ["--run", path("t"), "--text", path("x"), *parts[2:], *few, *small, "--preset", "toy"]
    )
    frozen = [load_file(tmp_path / run / "text_encoder/model.safetensors") for run in "xt"]
    assert all(torch.equal(frozen[0][name], frozen[1][name]) for name in frozen[0] | frozen[1])
    pairs.main(["--run", path("p"), "--teacher", path("t"), "--count", "64", "--steps", "2"])
    matched = ["--teacher", path("t"), "--pairs", path("p"), *few]
    warmup.main(["--run", path("w"), *matched])
    warmup.main(["--run", path("w2"), *matched, "--begin", path("w/unet"), "--lr", "0"])
    first, second = (
        load_file(tmp_path / run / "unet/diffusion_pytorch_model.safetensors")
        for run in ("w", "w2")
    )
    assert all(torch.equal(first[name], second[name]) for name in first | second)
    distill.main(["--run", path("d"), *matched, "--begin", path("w/unet"), "--online-first", "1"])
    resumes(
        lambda run: distill.train(
            run, teacher=tmp_path / "t", pairs=tmp_path / "p", begin=tmp_path / "w/unet",
            steps=4, online_steps=2, online_first=1, batch=2, lr=1e-4, online_lr=3e-4,
            guidance=3.0, seed=6, save_seconds=0,
        ),
        tmp_path / "distill",
    )  # fmt: skip
    export.main(["--out", path("toy"), "--unet", path("d/unet"), *parts])
    assert "loaded and painted" in capsys.readouterr().out
    model = SDXS.load(path("toy"))
    assert model.size == (64, 64) and model("a red ball", seed=3).size == (64, 64)

    evaluator.main(
        [
            "--run",
            path("e"),
            *parts[2:],
            "--out",
            path("evaluator"),
            *few,
            *small,
            "--held-out",
            "8",
        ]
    )
    monkeypatch.setenv("SDXS_WEIGHTS", str(tmp_path))
    capsys.readouterr()
    assert evaluate.main(["--checkpoint", "toy", "--count", "3"]) == 0
    table, last = capsys.readouterr().out.rsplit("\n", 2)[:2]
    result = json.loads(last)
    assert result["checkpoint"] == "toy" and result["seen"]["B"]["n"] == 3
    assert all(name in table for name in result["unseen"])
    score.main([*parts, "--steps", "2", "--count", "2"])
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["steps"] == 2


def test_the_text_heads_ask_for_what_a_caption_states():
    rng = random.Random(2)
    captions = [describe(scene, rng) for scene in sample_scenes(50, seed=3)]
    for caption in captions:
        answers = text.stated(caption)
        assert answers["kind 1"] == caption.things[0].kind
        assert (answers["kind 2"] == text.UNSAID) == (len(caption.things) == 1)
        assert answers["relation"] == (caption.relation or text.UNSAID)
    wanted = text.targets(captions)
    assert wanted.shape == (50, len(text.HEADS))
    assert all(row.max() <= len(o) for row, o in zip(wanted.T, text.HEADS.values(), strict=True))


def test_after_end_averages_the_end_and_the_padding_alone():
    ids = torch.tensor([[0, 5, 9, 9], [0, 9, 9, 9]])
    states = torch.arange(8.0).view(2, 4, 1)
    assert text.after_end(ids, states, end=9).flatten().tolist() == [2.5, 6.0]


def test_pairs_are_made_again_bit_for_bit_and_never_of_unseen_colours(tmp_path):
    assert pairs.prompts_of(3, 7) == pairs.prompts_of(3, 7) != pairs.prompts_of(3, 8)
    texts = "\n".join(text for chunk in range(40) for text in pairs.prompts_of(3, chunk))
    for colour, kind in UNSEEN_PAIRS:
        assert not [w for w in STORYBOOK_WORDS["things"][kind] if f"{colour} {w}" in texts]
    with pytest.raises(loop.TrainingError, match=r"run python -m sdxs\.train\.pairs"):
        (tmp_path / "pairs.json").write_text('{"seed": 3}')
        pairs.Pairs(tmp_path)
