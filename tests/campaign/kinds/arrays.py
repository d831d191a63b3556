"""Arrays that Python programs pass: of another type, another shape, with numbers that are no sound and no code."""

import numpy as np

from minicodec.codec.files.bitstream import Chunk
from tests.campaign.kinds import kind
from tests.campaign.spoil import pick
from tests.campaign.watch import Case

TYPES = ("float32", "float64", "float16", "int16", "int64", "uint8", "bool", "complex64", "object", "<U3", ">f4", "S2")
SHAPES = ((1, 800), (800,), (2, 800), (1, 0), (0, 5), (), (1, 1), (1, 1, 800), (800, 1), (2, 30), (2, 1), (1, 30))
NUMBERS = (np.nan, np.inf, -np.inf, 3e38, 1e30, -1, 0, 15, 16, 0.7, 70000)


def _array(rng) -> np.ndarray:
    with np.errstate(all="ignore"):
        array = np.asarray(rng.random(pick(rng, SHAPES)) * pick(rng, (1, 15, 16))).astype(pick(rng, TYPES))
        if array.size and array.dtype.kind in "fiu" and rng.random() < 0.5:
            array.flat[int(rng.integers(array.size))] = np.array(pick(rng, NUMBERS)).astype(array.dtype)
    return np.asfortranarray(array) if rng.random() < 0.2 else array


@kind("arrays: encode", 10)
def encode(case: Case) -> None:
    """Refused, or codes that decode to something finite."""
    codec, wav = case.samples.codec, _array(case.rng)
    kbps = pick(case.rng, (None, 1.0, 2.0, 0, -1, np.nan, np.inf, 1.5, "2", 10**400))
    chunks = case.call(codec.encode, wav, kbps, refusals=(ValueError, TypeError, OverflowError))
    if chunks is not None:
        case.demand(wav.dtype.kind == "f" and wav.ndim == 2, f"{wav.dtype} {wav.shape} was taken for sound")
        case.demand(bool(np.isfinite(codec.decode(chunks)).all()), "decodes to what is not finite")


@kind("arrays: decode", 10)
def decode(case: Case) -> None:
    """Refused, or finite sound."""
    codec, array = case.samples.codec, _array(case.rng)
    scale = pick(case.rng, (None, None, None, 1.0, np.nan, -1))
    given = pick(case.rng, ([Chunk(array, scale)], [Chunk(array, scale)] * 2, [array], array, []))
    wav = case.call(codec.decode, given, refusals=(ValueError, TypeError))
    if wav is not None:
        case.demand(array.dtype.kind in "iu", f"codes of {array.dtype} were taken")
        case.demand(bool(np.isfinite(wav).all()), "decodes to what is not finite")
