"""Between two pictures: the great circle by scipy's own, and pictures at and between its ends."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial import geometric_slerp
from tiny import build_checkpoint, load, tiny_scheduler

from sdxs import SDXS, InputError
from sdxs.model.schedule import draw_noise, seeded
from sdxs.model.text import Words
from sdxs.model.walk import blend, slerp

START, END = {"seed": 3}, {"seed": 9}
WAY = {"to_prompt": "big blue tree", "to_seed": 9}


def unit(rows: torch.Tensor) -> np.ndarray:
    flat = rows.double().flatten(1)
    return (flat / flat.norm(dim=1, keepdim=True)).numpy()


def test_the_great_circle_is_scipys() -> None:
    p, q = (draw_noise(seeded(seeds), (4, 8, 8)) for seeds in ([1, 2, 3], [4, 5, 6]))
    t = torch.tensor([0.3, 0.5, 0.99], dtype=torch.float64)
    found = slerp(p, q, t)
    assert found.dtype == torch.float32 and found.shape == p.shape
    for row in range(3):
        wanted = geometric_slerp(unit(p)[row], unit(q)[row], [float(t[row])])[0]
        assert abs(unit(found)[row] - wanted).max() < 1e-7
        lengths = [float(noise[row].norm()) for noise in (p, q, found)]
        assert lengths[2] == pytest.approx(lengths[0] * (1 - t[row]) + lengths[1] * t[row])
    chord = p.lerp(q, 0.5)  # what the arc is for: it would be too weak
    assert slerp(p, q, torch.full((3,), 0.5)).norm() > 1.3 * chord.norm()


def test_the_ends_are_exact_and_what_is_nearly_parallel_is_finite() -> None:
    p, q = draw_noise(seeded([1, 2]), (4, 8, 8)).split(1)
    for start, end in ((p, q), (p, -p), (p, p * (1 + 1e-7)), (p, p.clone()), (p, 0 * p)):
        assert torch.equal(slerp(start, end, torch.tensor([0.0])), start)
        assert torch.equal(slerp(start, end, torch.tensor([1.0])), end)
        assert slerp(start, end, torch.tensor([0.5])).isfinite().all()
    assert torch.equal(slerp(p, p.clone(), torch.tensor([0.3])), p)
    near = p + 1e-7 * q
    torch.testing.assert_close(slerp(p, near, torch.tensor([0.5])), p.lerp(near, 0.5))


def test_words_go_in_a_straight_line() -> None:
    start, end = (Words(torch.randn(2, 3, 4).bfloat16(), torch.randn(2, 5)) for _ in range(2))
    found = blend(start, end, torch.tensor([0.25, 1.0], dtype=torch.float64))
    assert found.states.dtype == torch.bfloat16 and torch.equal(found.states[1], end.states[1])
    wanted = start.states[0].float() * 0.75 + end.states[0].float() * 0.25
    assert torch.equal(found.states[0], wanted.bfloat16())
    torch.testing.assert_close(found.pooled[0], start.pooled[0] * 0.75 + end.pooled[0] * 0.25)
    plain = Words(start.states)
    assert blend(plain, plain, torch.tensor([0.5, 0.5])).pooled is None


@pytest.mark.parametrize("kind", ["sd15", "sd21", "sdxl"])
def test_a_walk_begins_and_ends_bit_for_bit(kind: str, tmp_path: Path) -> None:
    model = load(build_checkpoint(tmp_path / kind, kind=kind))

    def made(prompt: Any, **asked: Any) -> torch.Tensor:
        return model(prompt, **asked, output_type="pt")

    assert torch.equal(made("a red house", **START, **WAY, walk=0), made("a red house", **START))
    assert torch.equal(made("a red house", **START, **WAY, walk=1), made(WAY["to_prompt"], **END))
    half = made("a red house", **START, **WAY)
    assert torch.equal(half, made("a red house", **START, **WAY, walk=0.5))
    for other in (made("a red house", **START), made(WAY["to_prompt"], **END)):
        assert (half - other).abs().max() > 0.01

    walks, prompts = [0, 0.3, 1, None], ["a red house"] * 4
    to_prompts, to_seeds = ["tree", None, None, None], [None, 9, 4, None]
    batch = made(prompts, seed=3, to_prompt=to_prompts, to_seed=to_seeds, walk=walks)
    for row in range(4):
        way = {"to_prompt": to_prompts[row], "to_seed": to_seeds[row], "walk": walks[row]}
        alone = made("a red house", seed=3, **way)
        assert (alone[0] - batch[row]).abs().max() < 1e-4


def test_it_is_computed_from_the_ends_noise_and_words(tiny_model: SDXS) -> None:
    noise, there = (tiny_model.noise(seeded([seed]), (64, 64)) for seed in (3, 9))
    words, others = (tiny_model.encode([prompt]) for prompt in ("a red house", WAY["to_prompt"]))
    t = torch.tensor([0.3], dtype=torch.float64)
    clean = tiny_model.denoise(slerp(noise, there, t), blend(words, others, t))
    found = tiny_model("a red house", seed=3, **WAY, walk=0.3, output_type="pt")
    torch.testing.assert_close(found, tiny_model.decode(clean), rtol=0, atol=1e-5)
    own = tiny_model("a red house", latents=noise, **WAY, walk=0.3, output_type="pt")
    assert torch.equal(own, found)  # latents of one's own are a beginning, too


def test_a_scheduler_that_draws_arrives_as_well(tmp_path: Path) -> None:
    scheduler = tiny_scheduler("ddpm", clip_sample=False, variance_type="fixed_large")
    model = load(build_checkpoint(tmp_path / "it", scheduler))
    arrived = model("tree", seed=3, to_seed=9, walk=1, output_type="pt")
    assert torch.equal(arrived, model("tree", seed=9, output_type="pt"))
    stays = model("tree", seed=3, to_prompt="ball", walk=1, output_type="pt")
    assert torch.equal(stays, model("ball", seed=3, output_type="pt"))


def test_with_style_control_and_sixteen_bits(led_model: SDXS, tiny_checkpoint: Path) -> None:
    from tiny import drawing

    asked = {"style": "anime", "control": "sketch", "control_image": drawing(), "size": (96, 64)}
    ends = led_model("tree", seed=3, **asked), led_model(WAY["to_prompt"], seed=9, **asked)
    way = [led_model("tree", seed=3, **WAY, walk=walk, **asked) for walk in (0, 0.5, 1)]
    assert [picture.tobytes() for picture in way[::2]] == [picture.tobytes() for picture in ends]
    assert way[1].tobytes() not in [picture.tobytes() for picture in ends]
    small = load(tiny_checkpoint, dtype="bfloat16")
    arrived = small("tree", seed=3, **WAY, walk=1, output_type="pt")
    assert torch.equal(arrived, small(WAY["to_prompt"], seed=9, output_type="pt"))


def test_frames_are_the_pictures_on_the_way(tiny_model: SDXS) -> None:
    way = tiny_model.walk(["tree", "ball", "red house"], seeds=[1, 2, 2], frames=9, together=4)
    frames = list(way)
    assert len(frames) == 9
    stops = [
        tiny_model("tree", seed=1),
        tiny_model("ball", seed=2),
        tiny_model("red house", seed=2),
    ]
    apart = [
        np.abs(np.asarray(frames[at]).astype(int) - np.asarray(stop)).max()
        for at, stop in zip((0, 4, 8), stops, strict=True)
    ]
    assert max(apart) <= 1  # rounding of a batch
    between = tiny_model("tree", seed=1, to_prompt="ball", to_seed=2, walk=0.25)
    assert np.abs(np.asarray(frames[1]).astype(int) - np.asarray(between)).max() <= 1
    same = list(tiny_model.walk("tree", seeds=[1, 2], frames=4, loop=True))
    assert (
        len(same) == 4 and np.abs(np.asarray(same[1]).astype(int) - np.asarray(same[3])).max() <= 1
    )


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("tree",), "give two prompts, or two seeds"),
        ((["tree"],), "give two prompts, or two seeds"),
        ((["tree", " "],), "the prompt is empty"),
        ((["a", "b"], {"seeds": [1, 2, 3]}), "a seed for each prompt, or one: not 3 for 2"),
        ((["a", "b"], {"frames": 1}), "frames must be a whole number from 2 to 3,600, not 1"),
        ((["a", "b"], {"seed": 3}), "walk takes prompts and seeds, not seed"),
        ((["a", "b"], {"style": "anime"}), "not loaded"),
        ((["a", "b"], {"seeds": "x"}), "seed must be a whole number"),
    ],
)
def test_a_way_that_is_none(asked: tuple[Any, ...], message: str, tiny_model: SDXS) -> None:
    prompts, *options = asked
    with pytest.raises(InputError, match=message):  # before a frame is asked for
        tiny_model.walk(prompts, **(options[0] if options else {}))
