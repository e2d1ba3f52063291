"""Between two pictures: noise and words on the way from one to the other.

`sdxs.model.walk` in NumPy, for one picture. Knows nothing of prompts, seeds or graphs.
"""

import numpy as np
from numpy.typing import NDArray

STRAIGHT = 1e-6  # a sine below which an arc and its chord are the same, and the arc is 0 / 0
Numbers = NDArray[np.float32]


def slerp(start: Numbers, end: Numbers, t: float) -> Numbers:
    """Noise along the great circle (Shoemake 1985, section 3.3), t in [0, 1]; the norm goes evenly
    from that of `start` to that of `end`. The same numbers stay what they are."""
    if t <= 0 or np.array_equal(start, end):
        return start
    if t >= 1:
        return end
    p, q = start.astype(np.float64), end.astype(np.float64)
    lengths = [max(float(np.linalg.norm(each)), 1e-300) for each in (p, q)]
    p, q = p / lengths[0], q / lengths[1]
    theta = float(np.arccos(np.clip(np.sum(p * q), -1, 1)))
    sine = np.sin(theta)
    parts = np.array([1 - t, t])
    if sine >= STRAIGHT:
        parts = np.sin(parts * theta) / sine
    length = lengths[0] + t * (lengths[1] - lengths[0])
    between: Numbers = (length * (parts[0] * p + parts[1] * q)).astype(np.float32)
    return between


def blend(start: Numbers, end: Numbers, t: float) -> Numbers:
    """Words in a straight line, t in [0, 1]."""
    between: Numbers = start + np.float32(t) * (end - start)
    return end if t >= 1 else between
