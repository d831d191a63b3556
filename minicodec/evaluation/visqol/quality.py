"""From similarities to the score that listeners would give: MOS-LQO, 1 (bad) to 5 (excellent) [Chinen20].

Both maps were fitted by the authors of ViSQOL to listening tests and are used here as published. For audio it is a
support vector regression, whose 317 vectors lie in model/ with their licence:

    score  =  Σ_i α_i e^(-γ ‖x - v_i‖²)  -  ρ                x, v_i: similarity in each band, (32,)

for speech an exponential of the mean similarity, stretched so that equal signals get 5.

The vectors come from music at 24 kbps and more: for worse sounds the scores are extrapolated.
"""

from functools import cache
from pathlib import Path

import numpy as np

MODEL = Path(__file__).parent / "model" / "svr.npz"


def audio_mos(similarity: np.ndarray) -> float:
    """Similarity in 32 bands (32,) -> MOS-LQO."""
    svr = _support_vectors()
    distances = ((similarity - svr["vectors"]) ** 2).sum(axis=1)
    return float(np.clip(svr["coefficients"] @ np.exp(-svr["gamma"] * distances) - svr["rho"], 1, 5))


def speech_mos(similarity: np.ndarray) -> float:
    """Similarity in 21 bands (21,) -> MOS-LQO."""
    return float(np.clip(1.245063 * (np.exp(0.0154302525 * (similarity.mean() + 361.063949)) - 262.847869), 1, 5))


@cache
def _support_vectors() -> dict[str, np.ndarray]:
    with np.load(MODEL) as file:
        return {name: file[name] for name in file.files}
