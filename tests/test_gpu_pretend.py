"""The stand-in for CuPy refuses what CuPy refuses: what runs on it has a chance on a GPU."""

import importlib.util

import numpy as np
import pytest

from minicodec.backend import xp
from minicodec.tensor import Tensor
from tests import pretend_gpu


@pytest.fixture
def cupy(monkeypatch):
    return pretend_gpu.install(monkeypatch)


@pytest.fixture
def a(cupy):
    return cupy.asarray(np.arange(6, dtype=np.float32).reshape(2, 3))


HOST = np.ones((2, 3), np.float32)
MIXED = {
    "sum": lambda a: a + HOST,
    "sum the other way round": lambda a: HOST + a,
    "in place": lambda a: a.__iadd__(HOST),
    "into the host": lambda a: HOST.__iadd__(a),
    "an array without axes": lambda a: a * np.array(2, np.float32),
    "product": lambda a: HOST.T @ a,
    "comparison": lambda a: a > HOST,
    "NumPy's function": lambda a: np.exp(a),
    "NumPy's other function": lambda a: np.concatenate([a, a]),
    "conversion": lambda a: np.asarray(a),
    "contiguous": lambda a: np.ascontiguousarray(a),
    "assignment": lambda a: a.__setitem__(..., HOST),
    "assignment to the host": lambda a: HOST.__setitem__(..., a),
    "index": lambda a: a[np.array([1])],
    "list as index": lambda a: a[[1]],
    "index into the host": lambda a: HOST[a.astype(np.int64)],
    "CuPy's function": lambda a: xp(a).maximum(a, HOST),
    "one of several": lambda a: xp(a).concatenate([a, HOST]),
    "argument that CuPy has not": lambda a: xp(a).sum(a, where=a > 1),
    "objects": lambda a: xp(a).asarray(np.array([None])),
}


@pytest.mark.parametrize("mix", MIXED.values(), ids=MIXED)
def test_host_and_device_do_not_mix(a, mix):
    with pytest.raises(TypeError):
        mix(a)
    np.testing.assert_array_equal(HOST, 1)


READS = {
    "float": lambda a: float(a[0, 0]),
    "int": lambda a: int(a[0, 0]),
    "if": lambda a: bool((a > 1).any()),
    "get": lambda a: a.get(),
    "item": lambda a: a[0, 0].item(),
    "asnumpy": lambda a: xp(a).asnumpy(a),
    "mask": lambda a: a[a > 1],
    "nonzero": lambda a: xp(a).flatnonzero(a),
    "unique": lambda a: xp(a).unique(a),
    "wait": lambda a: xp(a).cuda.Stream.null.synchronize(),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_reads_are_counted_and_refused(a, read):
    before = pretend_gpu.host_reads[0]
    read(a)
    assert pretend_gpu.host_reads[0] == before + 1
    with pretend_gpu.no_host_reads(), pytest.raises(AssertionError, match="waits for the device"):
        read(a)
    read(a)


def test_it_computes(cupy, a):
    with pretend_gpu.no_host_reads():
        total = cupy.exp(a).sum(axis=0, keepdims=True) * np.float32(2) + 1
        single = np.float32(2) * a[1, 2]
        first = a[0]
        first += 1
        a[0, 0] += 5
    np.testing.assert_allclose(total.get(), np.exp(np.arange(6.0).reshape(2, 3)).sum(0, keepdims=True) * 2 + 1, 1e-6)
    assert isinstance(single, cupy.ndarray)
    assert single.shape == ()
    assert float(single) == 10
    np.testing.assert_array_equal(a.get(), [[6, 2, 3], [3, 4, 5]])


def test_xp_and_tensors_know_it(cupy, a):
    assert xp(HOST) is np
    assert xp(HOST, a) is cupy
    y = (2 * Tensor(a, requires_grad=True) + 1).mean()
    assert isinstance(y.data, cupy.ndarray)
    assert float(y) == 6


def test_memory_has_a_limit(cupy):
    pool = cupy.get_default_memory_pool()
    before = pool.used_bytes()
    a = cupy.zeros(1000, np.float32)
    part = a[::2].reshape(50, 10)
    del a
    assert pool.used_bytes() == before + 4000
    del part
    assert pool.used_bytes() == before
    assert pool.total_bytes() >= before + 4000
    pretend_gpu.memory.limit = before + 5000
    with pytest.raises(cupy.cuda.memory.OutOfMemoryError):
        cupy.zeros(2000, np.float32)
    cupy.zeros(1000, np.float32)


if importlib.util.find_spec("cupy"):

    def test_names_and_arguments_are_cupys():
        import cupy

        assert pretend_gpu.misnamed(cupy) == []
