"""The cases of the entropy coder, which have no peer. A further one needs its title and its line in `cases.py`, too."""

import numpy as np

from minicodec.codec.files.entropy import chunk_coder, range_coder as coder
from minicodec.codec.files.entropy.predictor import Predictor
from minicodec.codec.language_model import SECONDS, LanguageModel, LanguageModelConfig
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


def lm_encode(case: Case, preset: str) -> Prepared:
    """Codes to bytes by the probabilities of a language model of the published size."""
    predictor, codes = _predictor_and_codes(case, preset)
    return Prepared(
        lambda: chunk_coder.encode(codes, predictor),
        lambda: {"bytes": np.frombuffer(chunk_coder.encode(codes, predictor), np.uint8)},
    )


def lm_decode(case: Case, preset: str) -> Prepared:
    """And back, where every frame has to wait for the one before it."""
    predictor, codes = _predictor_and_codes(case, preset)
    packed = chunk_coder.encode(codes, predictor)

    def result() -> Arrays:
        (decoded,) = chunk_coder.decode([packed], [codes.shape[1]], predictor)
        if decoded is None or not (decoded == codes).all():
            raise ValueError("the language model does not give back the codes that it was given")
        return {"codes": decoded}

    return Prepared(lambda: chunk_coder.decode([packed], [codes.shape[1]], predictor), result)


def _predictor_and_codes(case: Case, preset: str) -> tuple[Predictor, np.ndarray]:
    config = run_config(preset).model
    rng = np.random.default_rng(0)
    sizes = LanguageModelConfig(Q=LEVELS, N=config.quantizer.entries, context=round(SECONDS * config.frame_rate))
    codes = rng.integers(0, sizes.N, (LEVELS, round(case.seconds * config.frame_rate)))
    return Predictor(LanguageModel(sizes, rng=rng), LEVELS), codes
