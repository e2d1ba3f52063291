"""Channel pruning: what does nothing is left out, what is always the same goes into the biases."""

import copy

import torch
from diffusers.models.autoencoders.vae import DecoderTiny

from sdxs.train.parts.channel_pruning import feature_maps, prune


def decoder(width: int) -> DecoderTiny:
    torch.manual_seed(0)
    return DecoderTiny(4, 3, (2, 1), (width, width), 2, "relu", "nearest").eval()


def latents(cells: int = 12) -> torch.Tensor:
    return torch.randn(3, 4, cells, cells, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_what_nothing_takes_in_is_left_out() -> None:
    wide, narrow, z = decoder(12), decoder(8), latents()
    maps = list(feature_maps(wide))
    # The first two blocks, two maps within each; the map that runs by them; the same once more.
    assert [(len(each.makers), len(each.takers)) for each in maps] == [
        (1, 1), (1, 1), (1, 1), (1, 1), (3, 3), (1, 1), (1, 1), (2, 2),
    ]  # fmt: skip
    for number, made in enumerate(maps):
        idle = torch.randperm(12, generator=torch.Generator().manual_seed(number))[:4]
        for layer in made.takers:
            layer.weight[:, idle] = 0
    wanted = wide(z)
    assert not torch.allclose(narrow(z), wanted, atol=0.01)
    prune(wide, narrow, z)
    torch.testing.assert_close(narrow(z), wanted, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_what_is_always_the_same_goes_into_the_biases() -> None:
    wide, narrow, z = decoder(9), decoder(8), latents(28)
    for made in feature_maps(wide):  # a channel of each that holds one number everywhere
        for layer in made.makers:
            layer.weight[4] = 0
            if layer.bias is not None:
                layer.bias[:] = 0.3
                layer.bias[4] = 0
        if len(made.makers) == 1 and made.makers[0].bias is not None:
            made.makers[0].bias[4] = 0.01
    wanted = wide(z)
    forgetful = copy.deepcopy(wide)
    prune(wide, narrow, z)
    inside = ..., slice(22, -22), slice(22, -22)  # beyond the border there is nothing
    torch.testing.assert_close(narrow(z)[inside], wanted[inside], atol=1e-6, rtol=1e-6)
    for made in feature_maps(forgetful):
        for layer in made.takers:
            layer.weight[:, 4] = 0
    assert not torch.allclose(forgetful(z)[inside], wanted[inside], atol=1e-6)
