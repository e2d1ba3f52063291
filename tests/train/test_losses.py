"""The losses against scikit-image, torchmetrics, scipy and closed forms."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter
from scipy.stats import entropy
from skimage import metrics
from torchmetrics.functional.image.dists import DISTSNetwork

from sdxs.train.autoencoder import roughness
from sdxs.train.parts import losses
from sdxs.train.parts.latents import LABELS
from sdxs.train.parts.losses import (
    hinge,
    reconstruction_loss,
    segmentation,
    ssim,
    steepness,
    unmasked,
)


@pytest.mark.parametrize("dists", [False, True])
def test_ssim_of_a_thing_with_itself_is_one_and_less_with_another(dists: bool):
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 3, 16, 16, generator=g), torch.randn(2, 3, 16, 16, generator=g)
    assert ssim(a, a, dists=dists).item() == pytest.approx(1, abs=1e-5)
    assert ssim(a, b, dists=dists) < 0.6


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


@pytest.mark.filterwarnings("error")
def test_ssim_of_a_single_cell_is_that_of_the_means():
    """Its variance is 0, so that little is left of the constants, and the structure is the same."""
    a, b = torch.tensor([3.0, -1.0]).view(1, 2, 1, 1), torch.tensor([1.0, 1.0]).view(1, 2, 1, 1)
    assert ssim(a, b).item() == pytest.approx((6 / 10 - 2 / 2) / 2, abs=1e-6)
    assert ssim(b, b).item() == 1 == ssim(b, b, dists=True).item()


def test_of_whole_maps_the_sum_is_dists(monkeypatch: pytest.MonkeyPatch):
    """As torchmetrics has it, on these features, all weights alike; its constants are absolute."""
    g = torch.Generator().manual_seed(2)
    b = 1 + torch.randn(4, 3, 16, 16, generator=g)
    a = 0.5 * b + torch.randn(b.shape, generator=g)
    weights = torch.ones(1, 3, 1, 1)
    network = SimpleNamespace(chns=[3], alpha=weights, beta=weights, forward_once=lambda x: [x])
    theirs = DISTSNetwork.forward(network, a, b, require_grad=True)  # (4,)
    monkeypatch.setattr(losses, "C1", 0)
    monkeypatch.setattr(losses, "C2", 0)
    assert ssim(a, b, 16, dists=True).item() == pytest.approx(1 - theirs.mean().item(), abs=1e-5)


@pytest.mark.parametrize(("dists", "wanted"), [(False, -1), (True, 1)])
def test_where_means_differ_in_sign_the_product_asks_for_the_opposite_structure(
    dists: bool, wanted: int
):
    """Of a window with a mean of -2 for 2, the derivative by how much of the structure it has."""
    g = torch.Generator().manual_seed(3)
    structure = torch.randn(1, 1, 3, 3, generator=g)
    structure = (structure - structure.mean()) / structure.std(correction=0)
    share = torch.tensor(0.5, requires_grad=True)
    apart = ssim(share * structure - 2, structure + 2, dists=dists)
    (slope,) = torch.autograd.grad(apart, share)
    (same,) = torch.autograd.grad(ssim(share * structure + 2, structure + 2, dists=dists), share)
    c1, c2 = 0.01 * 9 / 8 + 1e-6, 0.03 * 9 / 8 + 1e-6  # by the unbiased variance of nine
    luminance, half = (c1 - 8) / (c1 + 8), 0.5
    rise = 2 / (1 + half**2 + c2) - 2 * half * (2 * half + c2) / (1 + half**2 + c2) ** 2
    assert slope.sign() == wanted and same > 0
    assert slope.item() == pytest.approx(rise / 2 if dists else luminance * rise, rel=1e-4)


def test_segmentation_is_the_entropy_at_best():
    wanted = torch.rand(2, sum(LABELS), 3, 3)
    parts = [part / part.sum(1, keepdim=True) for part in wanted.split(LABELS, 1)]
    best = sum(entropy(part.numpy(), axis=1).mean() for part in parts)
    shares = torch.cat(parts, 1)
    assert segmentation(shares.log(), shares).item() == pytest.approx(best, rel=1e-5)
    assert segmentation(torch.zeros_like(shares), shares) > best


def test_the_discriminator_is_paid_for_telling_apart_and_the_other_for_passing():
    high, low = torch.full((2, 1, 3, 3), 2.0), torch.full((2, 1, 3, 3), -2.0)
    assert hinge([high], [low]) == 0
    assert hinge([low], [high]) == 3 + 3
    assert hinge([0 * high, high], [0 * high, low]) == (1 + 1 + 0) / 2
    assert unmasked([high]) == -2 < unmasked([low])


def test_steepness_in_closed_form():
    """Of logits w . x summed, the gradient is w everywhere: |w|^2 times the number of places."""
    x = torch.randn(5, 3, 4, 4, requires_grad=True)
    w = torch.tensor([1.0, -2.0, 0.5])
    logits = torch.einsum("c,bchw->bhw", w, x)
    assert steepness([logits], [x]).item() == pytest.approx(16 * w.square().sum().item())


def test_reconstruction_loss_is_zero_only_on_the_target():
    x = torch.rand(1, 3, 16, 16)
    assert reconstruction_loss(x, x) == 0
    assert reconstruction_loss(x + 0.1, x) > 0.09


def test_roughness_agrees_with_scipys_uniform_filter():
    z = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)).double()

    def mean_of_nine(x):
        return uniform_filter(x, (0, 0, 3, 3), mode="constant")

    around = mean_of_nine(z.numpy()) / mean_of_nine(np.ones(z.shape))  # at the edge, of fewer
    wanted = np.square(z.numpy() - around).mean()
    assert roughness(z).item() == pytest.approx(wanted, rel=1e-9)
