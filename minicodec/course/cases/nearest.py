"""Cases of these ops; see minicodec/course/cases/__init__.py."""

import numpy as np

from minicodec.course.cases import Case


def whole(rng, shape):
    """Small whole numbers: distances are exact in any precision and any order, and many of them tie."""
    return rng.integers(-2, 3, size=shape).astype(np.float64)


CASES = {
    "nearest_codeword": [
        Case([(5,), (7, 5)]),
        Case([(2, 9, 4), (1, 4)]),
        Case([(2, 9, 4), (33, 4)]),
        Case([(3, 5, 7), (70, 7)]),
        Case([(150, 3), (130, 3)], draws=whole),  # ties, and codewords hit exactly
        Case([(1, 16), (1024, 16)]),
    ],
}
