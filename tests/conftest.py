"""Shared by all tests: one BLAS thread per worker, a seeded generator, and the peers."""

import importlib.util
import os
import shutil
from types import SimpleNamespace

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "2" if variable == "NUMBA_NUM_THREADS" else "1")
os.environ.setdefault("MINICODEC_QUIET", "1")  # whether something must be compiled differs from run to run

import numpy as np  # noqa: E402
import pytest  # noqa: E402

from tests import pretend_gpu  # noqa: E402

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def pytest_configure(config):
    """In CI no comparison may be skipped: there, a missing peer is an error."""
    peers = ("torch", "encodec", "transformers", "visqol", "pesq", "pystoi", "playwright")
    peers += ("distributed", "pyarrow", "webdataset")
    missing = [name for name in peers if importlib.util.find_spec(name) is None]
    missing += [] if CHROMIUM else ["chromium"]
    if missing and os.environ.get("MINICODEC_ALL_PEERS"):
        raise pytest.UsageError(f"peers are missing: {', '.join(missing)}")


@pytest.fixture(autouse=True, scope="session")
def no_pictures():
    """Trainings do not draw: pictures take longer than the few steps of most. Who looks at them asks for `pictures`."""
    from minicodec.training import run

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "curves", SimpleNamespace(draw=lambda *_: None, comparison=lambda *_: None))
        yield


@pytest.fixture
def pictures(monkeypatch):
    """A training draws its pictures."""
    from minicodec.training import curves, run

    monkeypatch.setattr(run, "curves", curves)


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """The file of an untrained tiny_24khz."""
    import minicodec

    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    minicodec.build("tiny_24khz", seed=0).save(path)
    return path


@pytest.fixture(scope="module")
def tiny():
    """An untrained tiny_24khz, another one. A test that changes it changes it for its file."""
    import minicodec

    return minicodec.build("tiny_24khz", seed=1)


@pytest.fixture(scope="session")
def loud_model(tmp_path_factory):
    """Its output lies around 1: about half of the samples clip."""
    import minicodec

    codec = minicodec.build("tiny_24khz", seed=0)
    bias = dict(codec.decoder.named_parameters())["layers.15.bias"]
    bias.data += 1 - np.median(codec.decode(codec.encode(np.zeros((1, 12_000), np.float32), 6)))
    path = tmp_path_factory.mktemp("model") / "loud.safetensors"
    codec.save(path)
    return path


def real_gpu():
    """Is there a GPU, and CuPy to use it?"""
    if importlib.util.find_spec("cupy") is None:
        return False
    import cupy

    return cupy.cuda.is_available()


@pytest.fixture(params=["pretend", "real"] if real_gpu() else ["pretend"])
def gpu(request, monkeypatch):
    """The module cupy: a stand-in that keeps its rules [tests/pretend_gpu], and the real one where there is a GPU."""
    if request.param == "pretend":
        return pretend_gpu.install(monkeypatch)
    import cupy

    return cupy


@pytest.fixture
def no_host_reads(gpu):
    """A function whose blocks fail when Python waits for the device in them."""
    import cupyx

    return lambda: cupyx.allow_synchronize(False)
