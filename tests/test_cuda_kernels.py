"""The CUDA kernels at sizes that fill several blocks, tiles and segments; the cases of the ops are smaller than one."""

import numpy as np
import pytest

from minicodec.backend import OPS
from minicodec.course.cases import Case, indices, normal
from minicodec.kernels.gpu import nearest_codeword as nearest_codeword_cuda
from minicodec.kernels.gpu.arithmetic import column_sums_cupy
from minicodec.kernels.gpu.cublas import Matrices, gemm, multiply, multiply_transposed
from minicodec.kernels.gpu.cuda import SOURCES, Kernels
from minicodec.kernels.gpu.embedding import sums_by_index
from tests.test_gpu_ops import as_it_is, test_equals_definition as equals_definition
from tests.test_ops import rng

__all__ = ["rng"]  # a fixture

LARGER = {
    "elu": [Case([(3, 7, 41)])],
    "gelu": [Case([(3, 7, 41)])],
    "pad1d": [
        Case([(3, 37, 5)], {"left": 9, "right": 4, "mode": "reflect"}),
        Case([(3, 37, 5)], {"left": 40, "right": 50, "mode": "reflect"}),
    ],
    "weight_norm": [
        Case([(7, 5, 67), (1, 1, 67)], {"axis": 2}),  # three blocks of 32 columns
        Case([(7, 5, 67), (1, 5, 1)], {"axis": 1}),  # a block for each entry, 469 numbers
    ],
    "add": [Case([(3, 700, 33), (33,)])],  # 8 segments, two groups of columns
    "conv1d": [Case([(3, 70, 4), (8, 4, 24)], {"stride": 4}), Case([(2, 40, 3), (7, 3, 1)])],
    "conv1d_layer": [
        Case([(3, 40, 6), (7, 6, 5), (5,)], {"left": 6, "mode": "reflect"}),
        Case([(2, 66, 8), (4, 8, 16), (16,)], {"left": 2, "stride": 2}),
    ],
    "conv_transpose1d_layer": [Case([(3, 17, 12), (10, 12, 6), (6,)], {"stride": 5, "right": 5})],
    "conv2d": [
        Case([(3, 9, 33, 2), (3, 9, 2, 8)], {"stride": (1, 2), "dilation": (2, 1), "padding": (2, 4)}),
        Case([(2, 5, 6, 2), (2, 2, 2, 3)], {"padding": (1, 3)}),  # windows that see nothing but zeros
    ],
    "conv2d_leaky_relu": [Case([(2, 9, 33, 4), (3, 9, 4, 8), (8,)], {"stride": (1, 2), "padding": (1, 4)})],
    "nearest_codeword": [Case([(2, 21, 12), (300, 12)])],
    "embedding": [Case([(9, 150), (2, 140)], draws=[normal, indices(9)])],  # two groups of columns, three of indices
    "stft": [Case([(2, 300)], {"n_fft": 64, "hop": 16}), Case([(1, 100)], {"n_fft": 31, "hop": 40})],
    "stft_magnitude": [Case([(2, 300)], {"n_fft": 64, "hop": 24, "normalized": True})],
}


def larger_cases():
    return [pytest.param(OPS[name], case, id=f"{name}-{case}") for name, cases in LARGER.items() for case in cases]


@pytest.mark.parametrize(("op", "case"), larger_cases())
def test_equals_definition(op, case, gpu, no_host_reads, rng):
    equals_definition(op, case, as_it_is, gpu, no_host_reads, rng)


def test_nearest_codeword_in_strips(gpu, rng, monkeypatch):
    monkeypatch.setattr(nearest_codeword_cuda, "ROWS", 8)
    x, codebook = (rng.integers(-2, 3, size=s).astype(np.float32) for s in [(21, 4), (200, 4)])  # many distances tie
    codes, _ = nearest_codeword_cuda.nearest_codeword_forward_cupy(gpu.asarray(x), gpu.asarray(codebook))
    expected = ((x[:, None] - codebook) ** 2).sum(axis=2).argmin(axis=1)
    np.testing.assert_array_equal(gpu.asnumpy(codes), expected)


def test_column_sums_are_accurate(gpu, rng):
    rows = rng.normal(size=(20_000, 3)).astype(np.float32)
    sums = gpu.asnumpy(column_sums_cupy(gpu.asarray(rows)))
    np.testing.assert_allclose(sums, rows.astype(np.float64).sum(axis=0), rtol=1e-5, atol=1e-4)


def test_sums_by_index(gpu, rng):
    rows, index = rng.normal(size=(300, 5)).astype(np.float32), rng.integers(0, 40, size=300)
    index[index == 7] = 8  # nobody chooses 7
    sums, counts = (gpu.asnumpy(a) for a in sums_by_index(gpu.asarray(rows), gpu.asarray(index), 41))
    np.testing.assert_array_equal(counts, np.bincount(index, minlength=41))
    expected = np.zeros((41, 5))
    np.add.at(expected, index, rows)
    np.testing.assert_allclose(sums, expected, rtol=1e-6, atol=1e-6)
    assert not sums[[7, 40]].any()


# Products over overlapping rows


def windows(x, batches, rows, batch_step, row_step, tap_step, taps, P):
    """The rows of `multiply`, spelled out: (B,M,K,P)."""
    b, m, k, p = np.ogrid[:batches, :rows, :taps, :P]
    return x.reshape(-1)[b * batch_step + m * row_step + k * tap_step + p]


@pytest.mark.parametrize(
    ("batches", "rows", "taps", "P", "batch_step", "row_step", "tap_step"),
    [
        (1, 7, 1, 5, 0, 5, 0),  # side by side
        (3, 7, 1, 6, 50, 2, 0),  # every third row is free of the others
        (2, 2, 1, 9, 40, 2, 0),  # fewer rows than that
        (2, 8, 3, 4, 60, 3, 9),  # taps that do not touch
        (2, 8, 3, 4, 60, 4, 4),  # taps that do
        (3, 4, 1, 12, 30, 6, 0),  # P > rows: the items are one
        (3, 4, 1, 12, 31, 6, 0),  # P > rows, and rows do not continue
    ],
)
def test_multiply(batches, rows, taps, P, batch_step, row_step, tap_step, gpu, rng):
    N = 3
    x = rng.normal(size=batches * batch_step + rows * row_step + taps * tap_step + P).astype(np.float32)
    w, dy = (rng.normal(size=s).astype(np.float32) for s in [(taps, P, N), (batches, rows, N)])
    steps = {"batch_step": batch_step, "row_step": row_step, "tap_step": tap_step}
    spelled_out = windows(x, batches, rows, batch_step, row_step, tap_step, taps, P)

    out = multiply(gpu.asarray(x), gpu.asarray(w), gpu.full((batches, rows, N), np.nan, np.float32), **steps)
    np.testing.assert_allclose(gpu.asnumpy(out), np.einsum("bmkp,kpn->bmn", spelled_out, w), rtol=1e-5, atol=1e-5)
    dw = multiply_transposed(gpu.asarray(x), gpu.asarray(dy), taps=taps, P=P, **steps)
    np.testing.assert_allclose(gpu.asnumpy(dw), np.einsum("bmkp,bmn->kpn", spelled_out, dy), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"row_step": 4}, "4 apart"),  # rows of 5 would overlap
        ({"start": 6}, "do not fit"),
        ({"batch_step": 21}, "do not fit"),
        ({"batch_step": -1}, "apart"),
    ],
)
def test_gemm_refuses_wrong_addresses(gpu, change, complaint):
    a = Matrices(gpu.zeros(35, np.float32), row_step=5, batch_step=15)  # two of 3 x 5, and five numbers more
    b, out = Matrices(gpu.zeros((5, 2), np.float32), 2), Matrices(gpu.zeros((2, 3, 2), np.float32), 2, 0, 6)
    gemm(a, b, out, (3, 2, 5), batches=2)
    with pytest.raises(ValueError, match=complaint):
        gemm(a._replace(**change), b, out, (3, 2, 5), batches=2)


def test_gemm_is_for_contiguous_float32(gpu):
    a = gpu.zeros((4, 4), np.float32)
    for wrong in (gpu.zeros((4, 4)), a.T[:, :3]):
        with pytest.raises(ValueError, match="contiguous float32"):
            gemm(Matrices(wrong, 4), Matrices(a, 4), Matrices(a.copy(), 4), (3, 3, 3))


def test_a_launch_wants_contiguous_arrays(gpu):
    kernels = Kernels("for a test", 'extern "C" __global__ void zero(float* x, long long n) { if (n) x[0] = 0; }')
    del SOURCES["for a test"]
    x = gpu.ones((4, 4), np.float32)
    kernels.launch("zero", 1, 1, x, 1)
    assert gpu.asnumpy(x)[0, 0] == 0
    with pytest.raises(ValueError, match="contiguous"):
        kernels.launch("zero", 1, 1, x[:, 1:], 1)


def test_sources_have_names_of_their_own():
    with pytest.raises(ValueError, match="'padding' exists already"):
        Kernels("padding", "")
