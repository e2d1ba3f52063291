"""The low-rank fine-tune and its discriminator."""

import torch

from sdxs.train.parts.lora import lora, merged
from sdxs.train.texture import TARGETS, Heads


def test_a_low_rank_changes_nothing_at_first_and_goes_into_the_weights(unet) -> None:
    x, t, words = torch.randn(2, 4, 8, 8), torch.tensor([999, 999]), torch.randn(2, 5, 32)
    with torch.no_grad():
        before = unet(x, t, words).sample
        weights = lora(unet, 2, TARGETS)
        assert torch.equal(unet(x, t, words).sample, before)
        whole = sum(weight.numel() for weight in unet.parameters())
        assert 0 < sum(weight.numel() for weight in weights) < 0.2 * whole
        for weight in weights:
            weight += 0.02 * torch.randn(weight.shape)
        worn = unet(x, t, words).sample
        plain = merged(unet)(x, t, words).sample
    assert (worn - before).abs().max() > 1e-3
    torch.testing.assert_close(plain, worn, rtol=1e-4, atol=1e-4)


def test_the_discriminator_reads_the_prompt() -> None:
    torch.manual_seed(0)
    heads = Heads((32, 16), 8)
    features = [torch.randn(2, 32, 8, 8), torch.randn(2, 16, 4, 4)]
    ours, other = (heads(features, torch.randn(2, 8)) for _ in range(2))
    assert [part.shape for part in ours] == [(2, 1, 8, 8), (2, 1, 4, 4)]
    assert all((a - b).abs().max() > 1e-3 for a, b in zip(ours, other, strict=True))
