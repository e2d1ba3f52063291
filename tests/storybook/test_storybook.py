"""The drawn world: what outside checks and every score rely on."""

import colorsys
import random
import re

import pytest
import torch
from torch.nn.functional import one_hot

from sdxs.checkpoint.find import weights_folder
from sdxs.checkpoint.open import read_words
from sdxs.config import CHECKPOINTS
from sdxs.storybook.judges.evaluator import Sight, check, relation
from sdxs.storybook.judges.tallies import chance, tally, wilson
from sdxs.storybook.world.captions import (
    FROZEN,
    FROZEN_FILES,
    FROZEN_UNSEEN,
    as_typed,
    describe,
    frozen_captions,
    write_frozen,
)
from sdxs.storybook.world.render import PALETTE, render
from sdxs.storybook.world.scenes import COLOURS, SKIES, THINGS, Scene, Thing, sample_scenes
from sdxs.storybook.world.tokenizer import LENGTH, build_tokenizer
from sdxs.storybook.world.words import UNSEEN_PAIRS, WORDS, phrases
from sdxs.train.evaluator import labels


def lone(kind: str, colour: str, sky: str = "day", ground: str = "grass") -> Scene:
    thing = Thing(kind, colour, "big", 0.5, 0.8, 0.44)
    return Scene(sky, ground, "alone", (thing,), 0.45, nuisance=5)


def test_a_scene_depends_on_its_seed_and_number_alone():
    assert sample_scenes(5, seed=3) == sample_scenes(9, seed=3)[:5]
    assert sample_scenes(5, seed=3) != sample_scenes(5, seed=4)


def test_the_same_scene_gives_the_same_picture_in_any_batch():
    scenes = sample_scenes(6, seed=1)
    together, alone = render(scenes, 64).picture, render(scenes[4:5], 64).picture
    assert torch.equal(together[4:5], alone)


def test_a_render_is_a_picture_with_depth_and_masks():
    scenes = sample_scenes(12, seed=2)
    result = render(scenes, 64)
    assert result.picture.shape == (12, 3, 64, 64)
    assert -1 <= result.picture.min() < -0.5 < 0.5 < result.picture.max() <= 1
    assert result.depth.min() >= 0 and result.depth.max() <= 1
    for row, scene in enumerate(scenes):
        assert (result.seen[row].amax((1, 2)) > 0.9).tolist() == [True, len(scene.things) == 2]


def test_at_least_two_fifths_of_every_thing_are_visible():
    scenes = sample_scenes(400, seed=11, unseen="any")
    assert render(scenes, 64).visible.min() >= 0.4


def test_a_thing_in_front_is_nearer_than_the_one_behind():
    for scene in sample_scenes(200, seed=5):
        if scene.layout == "depth":
            behind, front = scene.things
            result = render([scene], 64)
            depths = [float((result.depth * m).sum() / m.sum()) for m in result.seen[0]]
            assert depths[1] > depths[0] and front.y > behind.y


@pytest.mark.parametrize("kind", THINGS)
def test_a_thing_keeps_its_hue_within_15_degrees_under_every_sky(kind):
    colours = [colour for colour in COLOURS if colour != "white"]
    scenes = [lone(kind, colour, sky) for colour in colours for sky in SKIES]
    result = render(scenes, 64)
    for row, scene in enumerate(scenes):
        mask = result.seen[row, 0] > 0.99
        pixels = ((result.picture[row].permute(1, 2, 0)[mask] + 1) / 2).tolist()
        wanted = colorsys.rgb_to_hsv(*PALETTE[scene.things[0].colour])[0]
        hues = [colorsys.rgb_to_hsv(*pixel)[:2] for pixel in pixels]
        turn = [min(abs(h - wanted), 1 - abs(h - wanted)) * 360 for h, s in hues if s > 0.15]
        near = sum(t <= 15 for t in turn)
        least = 0.95 if kind in ("ball", "cube", "cone", "star", "heart") else 0.55
        assert near / len(pixels) > least, (kind, scene.things[0].colour, scene.sky)


def test_training_never_shows_the_unseen_pairs_and_the_composition_test_always_does():
    pairs = {(t.colour, t.kind) for s in sample_scenes(2000, seed=8) for t in s.things}
    assert not pairs & UNSEEN_PAIRS and len(pairs) == 80 - len(UNSEEN_PAIRS)
    for scene in sample_scenes(50, seed=8, unseen="always"):
        assert any((t.colour, t.kind) in UNSEEN_PAIRS for t in scene.things)


def test_captions_state_what_the_scene_holds():
    rng = random.Random(0)
    for scene in sample_scenes(500, seed=6):
        caption = describe(scene, rng)
        assert caption.sky in (None, scene.sky) and caption.ground in (None, scene.ground)
        held = {t.kind: t for t in scene.things}
        assert {t.kind for t in caption.things} == set(held)
        for stated in caption.things:
            assert stated.colour in (None, held[stated.kind].colour)
            assert stated.size in (None, held[stated.kind].size)
            assert stated.colour is None or stated.colour in caption.text
        if caption.relation is not None:
            first, second = (held[t.kind] for t in caption.things)
            seen = relation((first.x, first.y), (second.x, second.y))
            assert seen == caption.relation or (
                caption.relation == "beside" and seen in ("left", "right")
            )


def test_every_phrase_of_the_vocabulary_occurs_in_captions():
    rng = random.Random(0)
    text = "\n".join(describe(scene, rng).text for scene in sample_scenes(3000, seed=7))
    for entries in WORDS.values():
        for said in entries.values():
            assert all(re.search(rf"\b{phrase}\b", text) for phrase in said)


def test_the_frozen_files_hold_a_thousand_captions_of_seen_pairs_and_others_apart():
    seen, unseen = frozen_captions(FROZEN), frozen_captions(FROZEN_UNSEEN)
    assert (len(seen), len(unseen)) == (1000, 250)
    for captions, wanted in ((seen, False), (unseen, True)):
        for caption in captions:
            pairs = {(t.colour, t.kind) for t in caption.things}
            assert bool(pairs & UNSEEN_PAIRS) is wanted


def test_the_frozen_files_can_be_made_again(tmp_path):
    for path, count, seed, unseen in FROZEN_FILES:
        write_frozen(tmp_path / path.name, count, seed, unseen)
        assert (tmp_path / path.name).read_text() == path.read_text()


def test_the_embedded_checkpoint_states_the_vocabulary():
    assert read_words(weights_folder("storybook")) == phrases()
    assert list(read_words(weights_folder("storybook"))) == list(WORDS)


def test_examples_shown_to_people_avoid_the_unseen_pairs():
    for example in CHECKPOINTS["storybook"].examples:
        for colour, kind in UNSEEN_PAIRS:
            assert f"{colour} {kind}" not in example


def test_the_tokenizer_is_the_same_each_time_and_holds_every_caption():
    tokenizer = build_tokenizer()
    assert tokenizer.get_vocab() == build_tokenizer().get_vocab()
    longest = max(len(tokenizer(c.text).input_ids) for c in frozen_captions())
    assert longest <= LENGTH - 4
    for word in ("house", "mushroom", "sunset"):
        assert len(tokenizer.tokenize(word)) == 1
    assert tokenizer("ünknown \U0001f600").input_ids[-1] == tokenizer.eos_token_id


def test_as_typed_changes_few_captions():
    rng = random.Random(1)
    changed = sum(
        as_typed("a red house at night", rng) != "a red house at night" for _ in range(2000)
    )
    assert 0.05 < changed / 2000 < 0.2


def test_wilson_interval_of_a_known_case():
    low, high = wilson(81, 263)  # Newcombe 1998, table I, method 3
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def perfect_sight(scenes: list[Scene]) -> Sight:
    """What an evaluator that makes no mistake would see."""
    truth = labels(scenes)

    def scores(name: str, classes: int) -> torch.Tensor:
        return one_hot(truth[name].clamp(min=0), classes).float()

    return Sight(
        present=truth["present"] * 2 - 1,
        colour=scores("colour", len(COLOURS)),
        size=scores("size", 2),
        where=truth["where"].nan_to_num(),
        sky=scores("sky", 3),
        ground=scores("ground", 4),
        features=torch.zeros(len(scenes), 1),
    )


def test_check_confirms_all_that_a_perfect_sight_sees():
    rng, scenes = random.Random(3), sample_scenes(300, seed=4, unseen="any")
    captions = [describe(scene, rng) for scene in scenes]
    results = check(perfect_sight(scenes), captions)
    assert all(ok for row in results for _, ok in row)
    scores = tally(results)
    assert scores["caption_accuracy"] == (300, 300) and scores["thing"][1] == sum(
        len(c.things) for c in captions
    )


@pytest.mark.parametrize(
    ("field", "broken"),
    [
        ("present", {"thing", "colour", "size", "place", "relation"}),
        ("colour", {"colour"}),
        ("size", {"size"}),
        ("sky", {"sky"}),
        ("ground", {"ground"}),
        ("where", {"place", "relation"}),
    ],
)
def test_check_finds_each_thing_that_is_wrong(field, broken):
    rng, scenes = random.Random(3), sample_scenes(120, seed=4)
    captions = [describe(scene, rng, drop=0.0) for scene in scenes]
    sight = perfect_sight(scenes)
    wrong = -getattr(sight, field) if field == "present" else getattr(sight, field).roll(1, -1)
    results = check(sight._replace(**{field: wrong}), captions)
    for name, (right, count) in tally(results).items():
        if name in broken:
            assert right < count
        elif name not in ("attribute_accuracy", "caption_accuracy"):
            assert right == count


def test_chance_is_what_pictures_of_other_scenes_score():
    rng = random.Random(9)
    captions = [describe(scene, rng) for scene in sample_scenes(4000, seed=21)]
    others = perfect_sight(sample_scenes(4000, seed=22))
    told = chance(captions)
    for name, (right, count) in tally(check(others, captions)).items():
        if name in ("thing", "sky", "ground"):
            assert right / count == pytest.approx(told[name], abs=0.03)
    assert told["colour"] == pytest.approx(1 / 8) and 0.25 < told["relation"] < 0.5
