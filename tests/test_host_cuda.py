"""CUDA C on the CPU: does it compute, and does it notice what would go wrong on a GPU?"""

import ctypes
import importlib.util
import inspect
from types import SimpleNamespace

import numpy as np
import pytest

from tests.host_cuda import RawModule, furnish, gemmStridedBatchedEx

SOURCE = r"""
extern "C" __global__ void reversed(const float* x, float* y, long long n) {  // of each block, by way of shared memory
    extern __shared__ float shared[];
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) shared[threadIdx.x] = x[i];
    __syncthreads();
    int from = min((int)blockDim.x, (int)(n - blockIdx.x * blockDim.x)) - 1 - (int)threadIdx.x;
    if (i < n) y[i] = shared[from];
}

extern "C" __global__ void without_barrier(const float* x, float* y) {
    extern __shared__ float shared[];
    shared[threadIdx.x] = x[threadIdx.x];
    y[threadIdx.x] = shared[blockDim.x - 1 - threadIdx.x];
}

extern "C" __global__ void last_wins(float* y) { y[0] = threadIdx.x; }

extern "C" __global__ void leaves(float* y) {
    if (threadIdx.x == 0) return;
    __syncthreads();
    y[threadIdx.x] = 1;
}

extern "C" __global__ void parts(float* y) {
    if (threadIdx.x % 2) __syncthreads(); else {
        __syncthreads();
    }
    y[threadIdx.x] = 1;
}

extern "C" __global__ void writes_to(float* y, int i) { y[i] = 1; }

extern "C" __global__ void reads_from(const float* x, float* y, int i) { y[0] = x[i]; }

extern "C" __global__ void writes_behind_shared(float* y) {
    extern __shared__ float shared[];
    shared[threadIdx.x + 1] = 1;
    y[0] = 1;
}

extern "C" __global__ void sum_of_blocks(unsigned* arrived, float* x, float* y) {  // each block reads the others' x
    if (threadIdx.x == 0) {
        x[blockIdx.x] = blockIdx.x + 1.0f;
        __threadfence();
        atomicAdd(arrived, 1u);
        while (*(volatile unsigned*)arrived < gridDim.x) __nanosleep(20);
    }
    __syncthreads();
    float sum = 0;
    for (int b = 0; b < gridDim.x; b++) sum += x[b];
    y[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}
"""


def kernel(name, cooperative=False):
    return RawModule(code=SOURCE, enable_cooperative_groups=cooperative).get_function(name)


def test_blocks_threads_and_shared_memory():
    x, y = np.arange(10, dtype=np.float32), np.zeros(10, np.float32)
    kernel("reversed")((3,), (4,), (x, y, 10), shared_mem=16)
    np.testing.assert_array_equal(y, [3, 2, 1, 0, 7, 6, 5, 4, 9, 8])


def test_blocks_that_wait_for_each_other():
    arrived, x, y = np.zeros(1, np.uint32), np.zeros(3, np.float32), np.zeros(6, np.float32)
    kernel("sum_of_blocks", cooperative=True)((3,), (2,), (arrived, x, y))
    np.testing.assert_array_equal(y, np.full(6, 1 + 2 + 3))
    with pytest.raises(RuntimeError, match="cooperative"):
        kernel("sum_of_blocks")((3,), (2,), (np.zeros(1, np.uint32), x, y))


@pytest.mark.parametrize(
    ("name", "args", "complaint"),
    [
        ("without_barrier", [np.ones(4, np.float32), np.ones(4, np.float32)], "race"),
        ("last_wins", [np.zeros(1, np.float32)], "race"),
        ("leaves", [np.zeros(4, np.float32)], "left"),
        ("parts", [np.zeros(4, np.float32)], "different"),
        ("writes_behind_shared", [np.zeros(4, np.float32)], "shared memory"),
        ("writes_to", [np.zeros(4, np.float32), np.int32(4)], "outside"),
        ("writes_to", [np.zeros(4, np.float32), np.int32(-1)], "outside"),
    ],
)
def test_what_goes_wrong_is_noticed(name, args, complaint):
    with pytest.raises(RuntimeError, match=complaint):
        kernel(name)((1,), (4,), args, shared_mem=16)


def test_what_lies_outside_an_array_is_no_number():
    whole, y = np.ones(8, np.float32), np.zeros(1, np.float32)
    kernel("reads_from")((1,), (1,), (whole[:4], y, np.int32(4)))
    assert np.isnan(y[0])


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        ((np.zeros(4, np.float32),), "takes 2 arguments"),
        ((np.zeros(4, np.float64), np.int32(1)), "float64"),
        ((np.zeros(8, np.float32)[::2], np.int32(1)), "contiguous: False"),
        ((np.zeros(4, np.float32), 1), "int i"),  # a Python int is passed as long long
        ((np.float32(1), np.int32(1)), r"float\* y"),
    ],
)
def test_arguments_must_fit_the_declaration(args, complaint):
    with pytest.raises(TypeError, match=complaint):
        kernel("writes_to")((1,), (1,), args)


def test_limits_of_a_launch():
    y = np.zeros(1, np.float32)
    for blocks, threads, shared in [(0, 1, 0), (1, 1025, 0), (1, 1, 49 * 1024)]:
        with pytest.raises(ValueError, match="last_wins"):
            kernel("last_wins")((blocks,), (threads,), (y,), shared_mem=shared)
    more = kernel("last_wins")
    more.max_dynamic_shared_size_bytes = 49 * 1024
    more((1,), (1,), (y,), shared_mem=49 * 1024)


def blas(a, b, c, transa, transb, m, n, k, lda, ldb, ldc, beta=0.0, batches=1, strides=(0, 0, 0)):
    """c = op(a) op(b) + beta·c by the emulated cuBLAS, matrices column by column."""
    one, beta = ctypes.c_float(1), ctypes.c_float(beta)
    a, b, c = (x.ctypes.data for x in (a, b, c))
    gemmStridedBatchedEx(
        *(0, transa, transb, m, n, k, ctypes.addressof(one), a, 0, lda, strides[0], b, 0, ldb, strides[1]),
        *(ctypes.addressof(beta), c, 0, ldc, strides[2], batches, 68, -1),
    )


def test_cublas(rng):
    """Against NumPy, whose matrices in Fortran order lie as cuBLAS wants them."""
    a, b, c = (np.asfortranarray(rng.normal(size=s).astype(np.float32)) for s in [(3, 4), (5, 4), (6, 5)])
    before = c.copy()
    blas(a, b, c, 0, 1, 3, 5, 4, 3, 5, 6, beta=2.0)
    np.testing.assert_allclose(c[:3], a @ b.T + 2 * before[:3], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(c[3:], before[3:])  # ldc is 6: what lies between the columns stays

    many = rng.normal(size=(2, 4, 3)).astype(np.float32)  # two a's, in memory column by column
    out = np.full((2, 5, 3), np.nan, np.float32)  # beta = 0 overwrites what is there, whatever it is
    blas(many, b, out, 0, 1, 3, 5, 4, 3, 5, 3, batches=2, strides=(12, 0, 15))
    np.testing.assert_allclose(out, b @ many, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("leading", [(2, 5, 6), (3, 4, 6), (3, 5, 2)])
def test_cublas_refuses_columns_that_overlap(leading):
    a, b, c = (np.zeros(30, np.float32) for _ in range(3))
    with pytest.raises(ValueError, match="INVALID_VALUE"):
        blas(a, b, c, 0, 1, 3, 5, 4, *leading)


if importlib.util.find_spec("cupy"):

    def test_names_and_values_are_cupys():
        import cupy

        stand_in = SimpleNamespace(cuda=SimpleNamespace(runtime=SimpleNamespace()))
        furnish(stand_in)
        parameters = cupy.cuda.cublas.gemmStridedBatchedEx.__doc__.splitlines()[0].split("(")[1].rstrip(")").split(", ")
        assert list(inspect.signature(gemmStridedBatchedEx).parameters) == [p.split()[-1] for p in parameters]
        for ours, theirs in [(stand_in.cuda.cublas, cupy.cuda.cublas), (stand_in.cuda.runtime, cupy.cuda.runtime)]:
            for name, value in vars(ours).items():
                assert callable(getattr(theirs, name)) if callable(value) else getattr(theirs, name) == value, name
        assert {*vars(stand_in)} - {"cuda"} <= {*dir(cupy)}
        assert {*vars(stand_in.cuda)} <= {*dir(cupy.cuda)} | {"cublas"}
