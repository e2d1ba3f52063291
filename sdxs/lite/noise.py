"""The noise of a seed: what torch's CPU generator gives for it, in NumPy.

Knows nothing of pictures. The random words are torch's, bit for bit; the normal numbers differ by
the rounding of a logarithm, a sine and a cosine.
"""

import math

import numpy as np
from numpy.typing import NDArray

BLOCK = 16  # numbers that torch makes at a time; fewer in all it makes otherwise


def noise(seed: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """`torch.randn(shape, generator=torch.Generator().manual_seed(seed))`.

    The generator is MT19937, of whose seed torch takes 32 bits. As in ATen's `normal_fill` and, of
    fewer than 16 numbers, `normal_distribution<double>`.
    """
    words = np.random.RandomState(seed & 0xFFFFFFFF)
    count = math.prod(shape)
    normal = _blocks(words, count) if count >= BLOCK else _pairs(words, count)
    return normal.astype(np.float32).reshape(shape)


def _blocks(words: np.random.RandomState, count: int) -> NDArray[np.float64]:
    """Blocks of 16, each of 8 pairs (i, i + 8); what is over is in a last block of new numbers,
    which ends at the end and replaces what is there."""
    uniform = _words(words, count) % 2**24 / 2.0**24
    whole = count // BLOCK * BLOCK
    normal = np.empty(count)
    normal[:whole] = _box_muller(uniform[:whole])
    if whole < count:
        normal[-BLOCK:] = _box_muller(_words(words, BLOCK) % 2**24 / 2.0**24)
    return normal


def _box_muller(uniform: NDArray[np.float64]) -> NDArray[np.float64]:
    """Box and Muller, "A Note on the Generation of Random Normal Deviates" (1958), on blocks."""
    first, second = uniform.reshape(-1, 2, BLOCK // 2).swapaxes(0, 1)
    radius, angle = np.sqrt(-2 * np.log(1 - first)), 2 * np.pi * second
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).reshape(-1)


def _pairs(words: np.random.RandomState, count: int) -> NDArray[np.float64]:
    """Pairs of two numbers of 53 bits, each of two words, the high one first."""
    high, low = _words(words, 4 * math.ceil(count / 2)).reshape(-1, 2).T
    uniform = ((high << np.uint64(32) | low) % 2**53 / 2.0**53).reshape(-1, 2)
    radius, angle = np.sqrt(-2 * np.log1p(-uniform[:, 1])), 2 * np.pi * uniform[:, 0]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).reshape(-1)[:count]


def _words(words: np.random.RandomState, count: int) -> NDArray[np.uint64]:
    """The next words, of 32 bits."""
    return words.randint(0, 2**32, count, dtype=np.uint32).astype(np.uint64)
