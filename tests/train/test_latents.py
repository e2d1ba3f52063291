"""What is painted once and read again: latents with what is seen where."""

import pytest
import torch
from torch.nn import functional as F

from sdxs.storybook.world.artists import ARTISTS, redraw
from sdxs.storybook.world.render import render
from sdxs.storybook.world.scenes import THINGS, sample_scenes
from sdxs.storybook.world.words import WORDS
from sdxs.train.autoencoder import build
from sdxs.train.parts import latents
from sdxs.train.run import loop


def test_a_batch_keeps_latents_captions_and_masks_together(tmp_path, vae):
    data = latents.encode_scenes(tmp_path, vae, 24, 5, 64)
    x, texts, seen = data.batch(40, loop.chance(0, 0))
    kinds = seen.split(latents.LABELS, 1)[0]
    for row in range(40):
        (index,) = (i for i, z in enumerate(data.latents) if torch.equal(z.float(), x[row]))
        things = data.scenes[index].things
        shown = {THINGS[i] for i in range(len(THINGS)) if kinds[row, i].sum() > 0}
        assert shown == {thing.kind for thing in things}
        drawn = vae.encode(render([data.scenes[index]], 64).picture).latents[0]
        assert (drawn - x[row]).abs().max() < 0.05  # bfloat16
        for thing in things:
            words = WORDS["things"][thing.kind]
            assert any(word in texts[row].lower() for word in words), texts[row]
    _, texts, _ = data.batch(400, loop.chance(0, 1), empty=0.25)
    assert 60 < texts.count("") < 140


def test_latents_are_encoded_once_while_the_encoder_stays(tmp_path, vae):
    first = latents.encode_scenes(tmp_path, vae, 3, 5, 64)
    with torch.no_grad():
        vae.decoder.layers[0].weight += 1  # no latent depends on it
    before = (tmp_path / "latents.safetensors").stat().st_mtime_ns
    again = latents.encode_scenes(tmp_path, vae, 3, 5, 64)
    assert torch.equal(first.latents, again.latents)
    assert again.seconds == pytest.approx(first.seconds, abs=0.1)
    assert (tmp_path / "latents.safetensors").stat().st_mtime_ns == before
    other = build(12).eval()
    assert not torch.equal(latents.encode_scenes(tmp_path, other, 3, 5, 64).latents, first.latents)


def test_an_artist_redraws_what_is_encoded(tmp_path, vae):
    plain = latents.encode_scenes(tmp_path, vae, 3, 5, 64)
    redrawn = latents.encode_scenes(tmp_path, vae, 3, 5, 64, "anime")
    pictures = redraw(render(plain.scenes, 64), ARTISTS["anime"])
    with torch.no_grad():
        wanted = vae.encoder(pictures)
    torch.testing.assert_close(redrawn.latents.float(), wanted, atol=2e-2, rtol=2e-2)
    assert torch.equal(redrawn.seen, plain.seen)
    again = latents.encode_scenes(tmp_path, vae, 3, 5, 64)  # neither takes the other's place
    assert torch.equal(again.latents, plain.latents) and not torch.equal(
        again.latents, redrawn.latents
    )


def test_shares_say_what_is_seen_where():
    scenes = sample_scenes(12, 3)
    drawn = render(scenes, 64)
    seen = F.avg_pool2d(drawn.seen, 16)  # (12, 2, 4, 4)
    slots = ((*scene.things, scene.things[0])[:2] for scene in scenes)
    kinds = torch.tensor([[THINGS.index(thing.kind) for thing in things] for things in slots])
    whole = latents.shares(seen, kinds, len(THINGS))
    assert whole.shape == (12, len(THINGS) + 1, 4, 4)
    assert torch.allclose(whole.sum(1), torch.ones(12, 4, 4), atol=1e-5)
    for row, scene in enumerate(scenes):
        named = {THINGS.index(thing.kind) for thing in scene.things}
        assert {i for i in range(len(THINGS)) if whole[row, i].sum() > 0} == named
        for slot, thing in enumerate(scene.things):
            assert torch.allclose(whole[row, THINGS.index(thing.kind)], seen[row, slot], atol=1e-6)
