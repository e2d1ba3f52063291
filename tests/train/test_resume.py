"""Every stage of latents, stopped and resumed, ends as one never stopped."""

import json
from pathlib import Path

import pytest
import torch

from sdxs.storybook import draw
from sdxs.train import (
    blocks,
    control,
    control_blocks,
    control_stem,
    decoder,
    distill,
    pairs,
    reader,
    steer,
    straighten,
    style,
    style_distill,
    teacher,
    texture,
    upscale,
    warmup,
)
from sdxs.train.parts.pairs import Pairs
from sdxs.train.run import stage
from tests.train.resumed import FEW, SOME, TURNS, Resumes, refused, train, weights


def test_what_makes_a_one_step_model_resumes(given: Path, resumes: Resumes, tmp_path: Path) -> None:
    vae, other = {"autoencoder": given / "v"}, tmp_path / "o"
    few, words = {"pictures": 8, **vae, **FEW}, {"text": given / "x", "preset": "toy"}
    large = resumes("t", teacher, layout="sd", **words, **vae, **SOME)
    tiny = resumes("b", blocks, teacher=large, **few)
    paints = {"teacher": tiny, "count": 192}
    made = resumes("p", pairs, steps=2, **paints)
    refused("holds pairs with steps=2, not 5", pairs, made, steps=5, **paints)
    model = {"offline": tiny, "pairs": made}
    first = resumes("w", warmup, **model, **FEW)
    told = resumes("d", distill, student=first, **model, **TURNS)
    last = json.loads((told / "metrics.jsonl").read_text().splitlines()[-1])
    assert {"alpha", "kappa_matching", "lambda_matching"} < last.keys()
    refused("nothing to learn by", distill, other, student=first, **TURNS)
    neither = {"gan": 0.0, "matching": 0.0}
    refused("nothing to learn by: give --gan", texture, other, student=first, **neither, **model)
    full = resumes("f", control, control="sketch", teacher=large, **few)
    resumes("s", control_blocks, control=full, tiny=tiny, teacher=large, **few)


@pytest.mark.long
def test_every_stage_of_latents_resumes(
    given: Path, resumes: Resumes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder, "compared", lambda *_: {})
    vae, other = {"autoencoder": given / "v"}, tmp_path / "o"
    few, some = {"pictures": 8, **vae, **FEW}, {**vae, **SOME}
    words = {"text": given / "x", "preset": "toy", **some}
    large = resumes("t", teacher, layout="sd", **words)
    tiny = resumes("b", blocks, teacher=large, **few)
    refused("other layers: give its own --preset and", teacher, other, begin=large,
            layout="sdxs", **words)  # fmt: skip
    flat = resumes("l", straighten, teacher=tiny, **few)
    paints = {"count": 192, "steps": 2}
    made = resumes("p", pairs, teacher=flat, guidance=1.0, **paints)
    assert Pairs(made).guidance == 3 and len(Pairs(made)) == 192
    refused("holds pairs with steps=2, not 5", pairs, made, teacher=flat, guidance=1.0,
            **{**paints, "steps": 5})  # fmt: skip
    resumes("a", decoder, pairs=made, width=8, held_out=2, **some)
    model = {"offline": tiny, "pairs": made}
    first = resumes("w", warmup, **model, **FEW)
    model |= {"student": first}
    resumes("d", distill, **model, **TURNS)
    read = resumes("e", reader, width=16, robust=0.3, artists=True, held_out=2, **some)
    of_pictures = resumes("es", reader, width=16, shown=True, held_out=2, **some)
    refused("goes without --begin", reader, other, shown=True, robust=0.3, held_out=2, **some)
    refused("takes a reader of latents", reader, tmp_path / "l", begin=of_pictures, width=16,
            held_out=2, **some)  # fmt: skip
    both = (read, of_pictures)
    every = {"adversary": 1.5, "reward": 1.0, "reader": both, "pictures": 8, **vae}
    online = {"adversary": 1.0, "discriminator": "online", "pictures": 8, **vae}
    lead = {"keep": 0.3, "guard": of_pictures, "held_out": 2}
    draw.draw(tmp_path / "drawn", "anime", 6, 1, 64)
    real = {"real": tmp_path / "drawn", "adversary": 1.0, **vae}
    for name, supervised in (
        ("z", {"student": first, **every, **lead, "discriminator": "reader"}),
        ("o", {**model, **online}),
        ("dmd2", {**model, **real, "discriminator": "dmd2", "kappa": (2.0, 0.0)}),
        ("unmatched", {**model, "unmatched": True}),
        ("both", {**model, **every, **lead}),
    ):
        told = resumes(name, distill, **{**supervised, **TURNS, "seed": 6})
        before, after = weights(first, "unet"), weights(told, "unet")
        assert not any(torch.equal(before[name], after[name]) for name in before)
        if name == "unmatched":
            zero = {**model, **TURNS, "seed": 6, "kappa": (0.0, 0.0)}
            same = weights(train(distill, tmp_path / "zero", **zero), "unet")
            assert all(torch.equal(same[name], after[name]) for name in same)
    for wrong, why in (
        ({"offline": tiny}, "need both"),
        ({}, "nothing to learn by"),
        ({"adversary": 1.0}, "need --autoencoder"),
        ({"reward": 1.0, "pictures": 8, **vae}, "needs --reader"),
        (online, "needs scores"),
        ({**real, "discriminator": "dmd2"}, "needs scores"),
        (
            {"offline": tiny, "pairs": made, **real, "adversary": 0.0},
            "--real goes with",
        ),
        ({**real, "reward": 1.0}, "are of renders, not of --real"),
    ):
        refused(why, distill, other, student=first, **wrong, **TURNS)
    twice = resumes("2", upscale, model=first, width=8, pictures=4, paintings=4, held_out=2,
                    artists=True, at=3, **{**vae, **FEW, "steps": 4, "batch": 4})  # fmt: skip
    refused("--width is at most that of", upscale, tmp_path / "l", model=first, width=99,
            **vae, **FEW)  # fmt: skip
    assert stage.read(twice)["psnr_in_boxes"] > 0 and stage.read(twice)["psnr_anime"] > 0
    for name, apart, logged in (
        ("g", {}, {"judged", "matching"}),
        ("gm", {"gan": 0.0, "dists": True}, {"matching"}),
        ("gg", {"matching": 0.0}, {"judged"}),
    ):
        textured = resumes(name, texture, rank=2, **apart, **model, **FEW)
        last = json.loads((textured / "metrics.jsonl").read_text().splitlines()[-1])
        assert last.keys() & {"judged", "matching"} == logged
        assert stage.read(textured).keys() >= apart.keys() | {"gan", "matching"}
        before, after = weights(first, "unet"), weights(textured, "unet")
        assert any(not torch.equal(before[name], after[name]) for name in before)
    resumes("h", decoder, pairs=made, painted_by=given / "v", artists=True, width=None, held_out=2,
            **some)  # fmt: skip

    worn = resumes("y", style, **{**few, "pictures": tmp_path / "drawn"}, teacher=tiny, rank=2,
                   below=0.8)  # fmt: skip
    dressed = resumes("q", pairs, teacher=tiny, style=worn, **paints)
    plain = train(pairs, tmp_path / "r", teacher=tiny, **paints)
    assert not torch.equal(Pairs(dressed).latents[:], Pairs(plain).latents[:])
    refused("holds pairs with style=", pairs, dressed, teacher=tiny, **paints)
    wears = {"offline": tiny, "style": worn, "student": first, "rank": 2, **TURNS}
    styled = resumes("i", style_distill, pairs=dressed, **wears)
    uncarried = resumes("j", style_distill, pairs=made, uncarried=True, **wears)
    assert [stage.read(run)["uncarried"] for run in (styled, uncarried)] == [False, True]
    resumes("m", style_distill, pairs=dressed, plain_mse=True, **wears)
    for wrong, why in (
        ({"pairs": made, "plain_mse": True}, "are not in the style"),
        ({"pairs": made}, "are not in the style"),
        ({"pairs": dressed, "uncarried": True}, "takes plain pairs"),
    ):
        refused(why, style_distill, other, **wrong, **wears)

    more = {"teacher": large, **few}
    full = resumes("f", control, control="sketch", **more)
    slim = resumes("s", control_blocks, control=full, tiny=tiny, **more)
    refused("needs --depth", control, other, control="depth", **more)
    narrow = resumes("n", control, control="sketch", **{**more, "teacher": tiny})
    turns = {"offline": tiny, "full": narrow, "student": first, "pairs": made, "begin": slim,
             "warmup": 2, **vae, **TURNS, "lr": 0.1}  # fmt: skip
    runs = {rho: {**turns, "rho": rho, "steps": 2} for rho in (0.0, 1.0)}
    steered = [train(steer, tmp_path / f"rho-{rho}", **runs[rho]) for rho in runs]
    unlike = [weights(run, "control") for run in steered]
    assert any(not torch.equal(unlike[0][name], unlike[1][name]) for name in unlike[0])
    resumes("rs", steer, **{**turns, **every, "steps": 4})
    resumes("rr", steer, **{**turns, **real, "discriminator": "dmd2", "steps": 5}, at=4)
    alone = {"student": first, "begin": slim, "keep": 0.5, **every, **FEW}
    alone_steered = resumes("ra", steer, **alone)
    by_hand = {"student": first, "begin": styled, "rank": 2, "artist": "anime", **every, **FEW}
    held = resumes("sa", style_distill, control=alone_steered, **by_hand)
    assert stage.read(held)["control"] == "sketch"
    train(style_distill, tmp_path / "sr", student=first, rank=2, **real, **FEW)
    again = resumes("2d", distill, student=told, against=told, **every, **FEW)
    assert "against" in stage.read(again) and "against" not in stage.read(told)
    refused("--against goes with --adversary", distill, other, student=told, against=told,
            **{**every, "adversary": 0.0, **FEW})  # fmt: skip
    refused("no such discriminator", distill, other, student=told, against=first, **every, **FEW)
    resumes("sb", style_distill, pairs=dressed, **wears, **every, artist="anime")
    for wrong, why in (
        ({"pairs": made}, "scores need all three"),
        ({"adversary": 0.0, "reward": 0.0}, "nothing to learn by"),
        ({"autoencoder": None}, "need --autoencoder"),
        ({"artist": None}, "needs --artist"),
        ({"plain_mse": True}, "takes pairs in the style and nothing else"),
        ({**real, "reward": 0.0, "reader": ()}, "--artist and --control are of renders"),
        ({"student": tiny, "control": alone_steered}, "made for another model"),
        ({"adversary": 0.0, "reward": 0.0, "offline": tiny, "style": worn, "pairs": dressed,
          "control": alone_steered}, "alone"),
    ):  # fmt: skip
        refused(why, style_distill, other, **{**by_hand, **wrong})
    refused("scores need all three", steer, other, pairs=made, **alone)
    refused("nothing to learn by", steer, other, **{**alone, "adversary": 0.0, "reward": 0.0})
    led = resumes("u", steer, at=4, **{**turns, "rho": 0.5, "steps": 5})
    assert {part.dtype for part in weights(led, "control").values()} == {torch.float16}
    larger = resumes("cs", control_stem, begin=led, width=4, **{**some, "autoencoder": twice})
    resumes("rl", steer, **{**alone, "begin": larger, "autoencoder": twice})
    for earlier, later in ((full, slim), (slim, led)):  # all of it learns
        before, after = weights(earlier, "control"), weights(later, "control")
        assert not any(
            torch.equal(before[name].to(after[name].dtype), after[name])
            for name in before.keys() & after.keys()
            if before[name].shape == after[name].shape
        )
    refused("made for another model", steer, other, **{**turns, "full": full})
    refused("3 steps are not enough: 2 are feature matching's", steer, other,
            **{**turns, "steps": 3})  # fmt: skip
