"""The reader: what it says follows from cells, its data say what is true, a small one counts."""

import random

import pytest
import torch
from torch.nn import functional as F

from sdxs.errors import CheckpointError
from sdxs.storybook.world.scenes import COLOURS, GROUNDS, SIZES, SKIES, THINGS, sample_scenes
from sdxs.storybook.world.words import UNSEEN_PAIRS
from sdxs.train import reader
from sdxs.train.autoencoder import build
from sdxs.train.parts import annotated
from sdxs.train.parts.reading import LEAST, Reader, Reading, averaged

SIDE = 8


def ideal(true: annotated.Truth) -> Reading:
    """The reading of one who knows."""
    return Reading(
        *(part.clamp(min=1e-6).log() for part in (true.kinds, true.colours, true.sizes)),
        true.skies.clamp(min=1e-6).log(),
        true.grounds.clamp(min=1e-6).log(),
        true.density,
    )


@pytest.fixture(scope="module")
def drawn() -> list[annotated.Drawn]:
    """Plain scenes, doubled things, scenes cut in two."""
    torch.manual_seed(0)
    vae = build(12).eval()
    rng = random.Random(0)
    cuts = sample_scenes(6, 3)
    return [
        annotated.draw(vae, sample_scenes(6, 1), 8 * SIDE),
        annotated.draw(vae, annotated.doubled(6, 2), 8 * SIDE),
        annotated.draw(vae, cuts, 8 * SIDE, [annotated.repainted(s, rng) for s in cuts], rng),
    ]


def test_artists_redraw_half_of_the_scenes_and_nothing_else_changes() -> None:
    torch.manual_seed(0)
    vae, scenes = build(12).eval(), sample_scenes(48, 1)
    plain = annotated.draw(vae, scenes, 64)
    other = annotated.draw(vae, scenes, 64, artists=random.Random(0))
    same = [
        torch.equal(ours, theirs) for ours, theirs in zip(plain.latents, other.latents, strict=True)
    ]
    few = [same[i : i + annotated.FEW] for i in range(0, 48, annotated.FEW)]
    assert all(len(set(some)) == 1 for some in few) and 0 < sum(same) < 48
    for name in ("seen", "kinds", "colours", "feet"):
        assert torch.equal(getattr(plain, name), getattr(other, name))


def test_the_truth_of_scenes_read_back_is_the_scenes(drawn) -> None:
    scenes = sample_scenes(6, 1)
    sight = ideal(annotated.truth(drawn[0])).sight()
    for row, scene in enumerate(scenes):
        assert SKIES[sight.sky[row].argmax()] == scene.sky
        assert GROUNDS[sight.ground[row].argmax()] == scene.ground
        for thing in scene.things:
            kind = THINGS.index(thing.kind)
            assert sight.present[row, kind] > 0
            assert COLOURS[sight.colour[row, kind].argmax()] == thing.colour
            assert SIZES[sight.size[row, kind].argmax()] == thing.size
            at = torch.tensor([thing.x, thing.y])
            assert (sight.where[row, kind] - at).abs().max() < 0.03
        there = {THINGS.index(thing.kind) for thing in scene.things}
        assert all(sight.present[row, k] < 0 for k in set(range(len(THINGS))) - there)


def test_counts_are_of_things_and_two_of_a_kind_are_two(drawn) -> None:
    for part, scenes in ((drawn[0], sample_scenes(6, 1)), (drawn[1], annotated.doubled(6, 2))):
        counts = ideal(annotated.truth(part)).counts
        for row, scene in enumerate(scenes):
            for k, kind in enumerate(THINGS):
                wanted = sum(thing.kind == kind for thing in scene.things)
                assert counts[row, k].item() == pytest.approx(wanted, abs=1e-4)
    assert (ideal(annotated.truth(drawn[1])).counts.amax(1) > 1.99).all()


def test_faulty_scenes_keep_out_what_training_never_shows() -> None:
    rng = random.Random(1)
    scenes = [
        *annotated.doubled(200, 5),
        *(annotated.repainted(s, rng) for s in sample_scenes(200, 6)),
    ]
    assert len(scenes) == 400
    pairs = {(thing.colour, thing.kind) for scene in scenes for thing in scene.things}
    assert not pairs & UNSEEN_PAIRS and len(pairs) == len(THINGS) * len(COLOURS) - len(UNSEEN_PAIRS)


def test_what_lies_beyond_a_cut_has_the_other_colour(drawn) -> None:
    part, true = drawn[2], annotated.truth(drawn[2])
    assert 0.1 < part.first.float().mean() / 255 < 0.9
    first = part.first[:, 0].float() / 255
    for row in range(len(first)):
        for slot in (0, 1):
            inside = (part.seen[row, slot] > 250) & (part.feet[row, slot, 2] > 0)
            sides = (first[row] > 0.99, part.colours), (first[row] < 0.01, part.others)
            for side, names in sides:
                assert (true.colours[row, names[row, slot]][inside & side] > 0.95).all()
    torch.testing.assert_close(true.skies.sum(1), torch.ones_like(first), atol=1e-5, rtol=0)


def test_the_truth_costs_no_more_than_its_own_entropy(drawn) -> None:
    true = annotated.truth(annotated.joined(drawn))
    best = reader.reading_loss(ideal(true), true)
    for name in Reading._fields:
        other = ideal(true)
        wrong = getattr(other, name).roll(1, 1)  # each class taken for the next
        assert reader.reading_loss(other._replace(**{name: wrong}), true) > best, name


def test_means_over_cells_in_closed_form() -> None:
    values = torch.tensor([[[[1.0, 3.0]], [[10.0, 20.0]]]])  # (1, 2, 1, 2)
    shares = torch.tensor([[[[1.0, 0.0]], [[0.5, 0.5]], [[0.0, 0.0]]]])  # (1, 3, 1, 2)
    wanted = torch.tensor([[[1.0, 10.0], [2.0, 15.0], [0.0, 0.0]]])
    torch.testing.assert_close(averaged(values, shares), wanted, atol=2e-2, rtol=0)


def test_a_small_reader_learns_to_count() -> None:
    """Of boxes of one channel: none, one or two; after a hundred updates it is nearly right."""
    torch.manual_seed(0)
    network = Reader(16)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(1)

    def batch(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        x = 0.1 * torch.randn(count, 4, SIDE, SIDE, generator=generator)
        marks = torch.zeros(count, SIDE, SIDE)
        for row in range(count):
            for _ in range(int(torch.randint(3, (1,), generator=generator))):
                i, j = torch.randint(SIDE, (2,), generator=generator).tolist()
                marks[row, i, j] = 1
        x[:, 0] += 2 * marks
        return x, marks

    for _ in range(120):
        x, marks = batch(32)
        density = network(x).density[:, 0]
        loss = F.smooth_l1_loss(density.sum((1, 2)), marks.sum((1, 2)), beta=0.2)
        optimizer.zero_grad()
        rate = density - marks * density.clamp(min=LEAST).log()
        (loss + rate.sum((1, 2)).mean()).backward()
        optimizer.step()
    x, marks = batch(200)
    right = network(x).counts[:, 0].round() == marks.sum((1, 2))
    assert right.float().mean() > 0.9


def test_misleading_latents_are_near_and_misread(drawn) -> None:
    torch.manual_seed(0)
    network, some = Reader(16), annotated.joined(drawn)
    z, true = some.latents.float(), annotated.truth(some)
    changed = reader.misleading(network, z, true, 0.3, torch.Generator().manual_seed(0))
    far = (changed - z).square().mean((1, 2, 3)).sqrt()
    assert (far < 0.3 + 1e-4).all() and far.max() > 0.2
    before, after = (reader.reading_loss(network(x), true) for x in (z, changed))
    assert after > before
    assert all(weight.grad is None for weight in network.parameters())


def test_it_is_saved_whole_and_loaded_frozen(tmp_path) -> None:
    network = Reader(16)
    network.save(tmp_path)
    again = Reader.load(tmp_path)
    x = torch.randn(2, 4, SIDE, SIDE)
    assert all(map(torch.equal, network(x), again(x)))
    assert not any(weight.requires_grad for weight in again.parameters())
    (tmp_path / "model.safetensors").write_bytes(b"no")
    with pytest.raises(CheckpointError, match="no reader in"):
        Reader.load(tmp_path)
