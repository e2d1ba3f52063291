"""What is between two pictures is what the whole package puts there."""

import numpy as np
import pytest
import torch

from sdxs.lite.noise import noise
from sdxs.lite.walk import blend, slerp
from sdxs.model import walk
from sdxs.model.text import Words

SHAPE = (1, 4, 8, 8)
START = noise(1, SHAPE)
ENDS = {
    "another": noise(2, SHAPE),
    "the same": START.copy(),
    "opposite": -START,
    "nearly the same": START + 1e-7 * noise(3, SHAPE),
    "longer": 3 * noise(4, SHAPE),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("t", [0.0, 0.3, 0.5, 0.99, 1.0])
def test_it_is_the_same(end: np.ndarray, t: float) -> None:
    rows = [torch.from_numpy(each) for each in (START, end)]
    at = torch.tensor([t], dtype=torch.float64)
    np.testing.assert_allclose(slerp(START, end, t), walk.slerp(*rows, at), rtol=0, atol=1e-6)
    wanted = walk.blend(*(Words(each.flatten(2)) for each in rows), at).states
    found = blend(START, end, t)
    assert found.dtype == slerp(START, end, t).dtype == np.float32
    np.testing.assert_allclose(found.reshape(wanted.shape), wanted, rtol=0, atol=1e-6)
    if t in (0, 1):
        ends = [START, end]
        assert np.array_equal(found, ends[int(t)])
        assert np.array_equal(slerp(START, end, t), ends[int(t)])
