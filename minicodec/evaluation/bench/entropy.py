"""The cases of the entropy coder, which have no peer. A further one needs a line in `cases.cases`, too."""

import numpy as np

from minicodec.codec.entropy import range_coder as coder
from minicodec.evaluation.bench.cases import CODES, LEVELS, Arrays, Case, Prepared, run_config


def range_coder(case: Case, preset: str) -> Prepared:
    """Codes of known frequencies to bytes and back."""
    entries, frames = run_config(preset).model.quantizer.entries, CODES // LEVELS
    rng = np.random.default_rng(0)
    counts = np.zeros((LEVELS, entries + 1), np.int64)
    counts[:, 1:] = rng.integers(1, 1000, (LEVELS, entries)).cumsum(axis=1)
    codes = rng.integers(0, entries, (frames, LEVELS))
    starts = np.take_along_axis(counts, codes.T, axis=1).T.ravel()
    stops = np.take_along_axis(counts, codes.T + 1, axis=1).T.ravel()
    totals = np.tile(counts[:, -1], frames)

    def run() -> np.ndarray:
        decoder = coder.Decoder(coder.encode(starts, stops, totals))
        return np.stack([decoder.pull(counts) for _ in range(frames)])

    def result() -> Arrays:
        decoded = run()
        if not (decoded == codes).all():
            raise ValueError("the range coder does not give back what it was given")
        return {"codes": decoded}

    return Prepared(run, result)
