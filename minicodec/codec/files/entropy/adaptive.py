"""Entropy coding without a network: each codebook's codes are counted as they go by [Witten87].

At first all N codes are equally likely. Each code that comes adds STEP to its count, here and in the decoder alike: a
code that came before costs fewer bits the next time. Nothing is sent but the codes, and nothing is trained; nothing is
known either of the frames before, which is what the language model adds.
"""

import numpy as np

STEP = 4  # what a code adds to its count, where every code starts with 1: on speech and music the best of 2, 4, 8 … 64
LIMIT = 1 << 20  # when the counts add up to this they are halved: what came long ago counts less


class Adaptive:
    """A predictor, with the face of predictor.Predictor, for Q codebooks of N entries."""

    name = "adaptive"  # in the header of files

    def __init__(self, codebooks: int, N: int):
        self.codebooks, self.N = codebooks, N

    def start(self, B: int) -> np.ndarray:
        """The past of B sequences before their first frame: counts (B,Q,N)."""
        return np.ones((B, self.codebooks, self.N), np.int64)

    def __call__(self, previous: np.ndarray, past: np.ndarray) -> np.ndarray:
        """The frames before those to predict, (B,Q,T) from 0 … N -> cumulative counts (B,T,Q,N+1) int64.

        `past` is moved on by T frames.
        """
        B, Q, T = previous.shape
        cumulative = np.zeros((B, T, Q, self.N + 1), np.int64)
        b, q = np.ogrid[:B, :Q]
        for t in range(T):
            code = previous[:, :, t] - 1
            past[b, q, code] += np.where(code >= 0, STEP, 0)  # -1, the start, is no code
            full = past.sum(axis=-1, keepdims=True) >= LIMIT
            np.copyto(past, (past + 1) // 2, where=full)
            cumulative[:, t, :, 1:] = past.cumsum(axis=-1)
        return cumulative
