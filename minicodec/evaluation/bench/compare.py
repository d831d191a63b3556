"""Do minicodec and its rival compute the same? Whoever computes something else may well be faster."""

from pathlib import Path

import numpy as np

from minicodec.errors import InputError
from minicodec.evaluation.bench.cases import LATER, Case

TOLERANCE = 1e-4  # relative to the size of an array
TOLERANCE_LATER = 1e-2  # after an update by Adam, which makes steps of one size from gradients that are only rounding
CODES_EQUAL = 0.99  # share: two codewords can be equally near but for rounding
# With products in TF32, whose numbers have 10 bits behind the point instead of 23.
TF32 = "tf32"
TF32_TOLERANCE, TF32_TOLERANCE_LATER, TF32_CODES_EQUAL = 2e-2, 2e-1, 0.8


def compare(case: Case, name: str, ours: Path, theirs: Path) -> None:
    """InputError unless both computed the same."""
    coarse = name.endswith(TF32)
    tolerance, later = (TF32_TOLERANCE, TF32_TOLERANCE_LATER) if coarse else (TOLERANCE, TOLERANCE_LATER)
    least_equal = TF32_CODES_EQUAL if coarse else CODES_EQUAL
    with np.load(ours) as expected, np.load(theirs) as found:
        if not found.files:
            raise InputError(f"{case}: {name} shows no results")
        for key in found.files:
            a, b = expected[key], found[key]
            if a.shape != b.shape:
                raise InputError(f"{case}: {name} gives {key} as {b.shape}, minicodec as {a.shape}")
            if a.dtype.kind == "i":
                if (equal := float((a == b).mean())) < least_equal:
                    raise InputError(f"{case}: {name} has only {equal:.1%} of the {key} that minicodec has")
                continue
            error = float(np.linalg.norm(a - b)) / max(float(np.linalg.norm(a)), 1e-30)
            if not error <= (later if key.startswith(LATER) else tolerance):
                raise InputError(f"{case}: {name} differs from minicodec in {key} by {error:.1e}")
