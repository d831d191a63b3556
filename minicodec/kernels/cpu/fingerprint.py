"""A fingerprint of arrays, at the speed of memory: has anybody changed a weight?

64 sums side by side, so that they fill vectors, each of which is stirred before the next number is added.
"""

import numpy as np

from minicodec.kernels.cpu.engine.compile import compiled

LANES = 64
FACTOR = np.uint32(0x9E3779B1)  # odd: two sums that differ still do when they are multiplied, modulo 2³²
SHIFT = np.uint32(15)


def fingerprint(arrays: list[np.ndarray]) -> bytes:
    """256 bytes that depend on every bit of the arrays, and on the places of these; not on how many zeros there are.

    A change of numbers in different lanes always shows; of several in one lane, all but one in 2³², as good as always.
    """
    sums = np.zeros(LANES, np.uint32)
    for a in arrays:
        words = np.ascontiguousarray(a).reshape(-1).view(np.uint32)
        words.flags.writeable = False
        _mix(words, sums)
    return sums.tobytes()


@compiled
def _mix(words, sums):
    """In each lane, sum = stirred sum · FACTOR + word; stirred: the high bits go down, where the factor begins."""
    for i in range(0, words.size, LANES):
        row = words[i : i + LANES]
        for lane in range(row.size):
            stirred = sums[lane] ^ (sums[lane] >> SHIFT)
            sums[lane] = np.uint32(stirred * FACTOR) + row[lane]
