"""Shared by all tests: one BLAS thread per worker, a seeded generator, and the peers."""

import importlib.util
import os

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "2" if variable == "NUMBA_NUM_THREADS" else "1")

import numpy as np  # noqa: E402
import pytest  # noqa: E402


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def pytest_configure(config):
    """In CI no comparison may be skipped: there, a missing peer is an error."""
    missing = [name for name in ("torch", "encodec", "transformers") if importlib.util.find_spec(name) is None]
    if missing and os.environ.get("MINICODEC_ALL_PEERS"):
        raise pytest.UsageError(f"peers are missing: {', '.join(missing)}")
