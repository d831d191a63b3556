"""The cosines and sines that tell a Transformer which frame it sees, from + and · alone.

The C libraries' cos, sin and pow differ in last digits. So a frame's angles come from those of the frame before, by the
rotation

    cos(a + δ) = cos a cos δ - sin a sin δ
    sin(a + δ) = sin a cos δ + cos a sin δ

and what a frame turns them by, δ_i = 10000^(-i/(D/2-1)), from power series. In float64 the rounding of 100,000 frames
adds up to 1e-11; then it is rounded to float32. IEEE 754 fixes each step.
"""

import numpy as np

LN_SLOWEST = 9.210340371976184  # ln 10000
TERMS = 24  # of the series; of numbers up to 1 the rest is below 1e-24


class Positions:
    """Rows for one frame after the other, from frame 0 on: (D,) float32 each, D/2 cosines and D/2 sines."""

    def __init__(self, D: int):
        half = D // 2
        exponents = np.arange(half) * (-LN_SLOWEST / max(half - 1, 1))
        self.turn_cos, self.turn_sin = _cos_sin(_exp(exponents))
        self.cos, self.sin = np.ones(half), np.zeros(half)

    def next(self, T: int) -> np.ndarray:
        """The rows (T,D) of the next T frames."""
        rows = np.empty((T, 2 * len(self.cos)), np.float32)
        for row in rows:
            row[: len(self.cos)], row[len(self.cos) :] = self.cos, self.sin
            cos = self.cos * self.turn_cos - self.sin * self.turn_sin
            self.sin = self.sin * self.turn_cos + self.cos * self.turn_sin
            self.cos = cos
        return rows


def _exp(x: np.ndarray) -> np.ndarray:
    """e^x of -10 … 0, as (e^(x/16))^16."""
    r = x / 16
    term, total = np.ones_like(x), np.ones_like(x)
    for n in range(1, TERMS):
        term = term * r / n
        total = total + term
    for _ in range(4):
        total = total * total
    return total


def _cos_sin(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """cos x and sin x of 0 … 1."""
    cos, sin = np.zeros_like(x), np.zeros_like(x)
    term = np.ones_like(x)
    for n in range(0, TERMS, 4):
        cos, term = cos + term, term * x / (n + 1)
        sin, term = sin + term, term * x / (n + 2)
        cos, term = cos - term, term * x / (n + 3)
        sin, term = sin - term, term * x / (n + 4)
    return cos, sin
