"""Neurogram similarity index measure (NSIM): how alike two patches of spectrogram are, point by point [Hines12].

It is the structural similarity by which images are compared, without its contrast term. Around each point, with
means, variances and covariance under a small Gaussian window,

                  2 μ_r μ_d + C1         σ_rd + C3
    similarity =  ────────────────  ·  ─────────────          intensity · structure
                  μ_r² + μ_d² + C1      σ_r σ_d + C3

1 for equal patches. Structure is a correlation: it does not care how strong the pattern is, only whether it is there.
"""

from typing import NamedTuple

import numpy as np

C1 = 0.01**2  # keep the quotients finite where nothing sounds
C3 = 0.03**2 / 2
CORNER, EDGE, CENTRE = 0.0113033910173052, 0.0838251475442633, 0.619485845753726  # of the window, 3 by 3


class Patches(NamedTuple):
    """Patches of spectrogram (...,W,F), with their local means and variances, of the same shape."""

    values: np.ndarray
    mean: np.ndarray
    variance: np.ndarray

    def at(self, places: int | slice) -> "Patches":
        """Some of them: index the first axis."""
        return Patches(self.values[places], self.mean[places], self.variance[places])


def with_statistics(values: np.ndarray) -> Patches:
    """Values (...,W,F) in dB, W frames of F bands, with what `compare` needs of them."""
    mean = _smooth(values)
    return Patches(values, mean, _smooth(values * values) - mean * mean)


def compare(reference: Patches, degraded: Patches) -> np.ndarray:
    """Similarity of patches (...,W,F) at every point; the leading axes broadcast. At most 1."""
    product = reference.mean * degraded.mean
    covariance = _smooth(reference.values * degraded.values) - product
    intensity = (2 * product + C1) / (reference.mean**2 + degraded.mean**2 + C1)
    variances = reference.variance * degraded.variance
    return intensity * (covariance + C3) / (np.sqrt(np.maximum(variances, 0)) + C3)  # rounding may go below 0


def _smooth(x: np.ndarray) -> np.ndarray:
    """Mean of each point of x (...,W,F) and its neighbours under the Gaussian; beyond the rim the rim repeats."""
    x = np.pad(x, [(0, 0)] * (x.ndim - 2) + [(1, 1), (1, 1)], mode="edge")
    sides, middle = x[..., :-2] + x[..., 2:], x[..., 1:-1]  # of three bands each
    edges = EDGE * sides + CENTRE * middle
    above_and_below = CORNER * sides + EDGE * middle
    return edges[..., 1:-1, :] + above_and_below[..., :-2, :] + above_and_below[..., 2:, :]
