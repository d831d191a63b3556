"""Matrix products on a GPU, also of matrices whose rows overlap: what kernels/cpu/engine/products.py is on a CPU.

cuBLAS multiplies matrices whose rows lie any distance apart, at least the length of a row. The windows of a
convolution are closer: with channels last, window m of x (T,C) is the K·C numbers from m·stride·C on. There are two
ways around that, both without copying x K times ("im2col"):

    tap by tap       Σ_k x[k::stride] w[k]          K products, all but the first added to the result
    interleaved      rows m = j, j + r, j + 2r ...  r = ceil(K / stride) products: every r-th window, which no longer
                                                    overlap, gives every r-th row of the result

Counted in numbers that go through memory, for To windows: both read x about K/stride times. But tap by tap, the result
is written K times and read K - 1 times, interleaved it is written once. And its products sum over K·C terms instead of
C, which for the few channels of a codec's outer layers (1 ... 64) is what keeps the GPU's units busy. So it is the
second way, and the first only where taps do not touch: with dilation, and for the time axis of a spectrogram.

Unlike the engine for CPUs, cuBLAS sums in an order of its own choice, by shape and GPU: the last bits of a result
differ with the batch. Run twice, the same product has the same bits.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from minicodec.backend import xp
from minicodec.kernels.gpu.cuda import contiguous

ONE, ZERO = np.ones(1, np.float32), np.zeros(1, np.float32)  # cuBLAS reads its factors at an address


class Matrices(NamedTuple):
    """Matrices in one array: of matrix i, row m begins at number start + i·batch_step + m·row_step."""

    array: Any  # contiguous, of any shape
    row_step: int
    start: int = 0
    batch_step: int = 0
    transposed: bool = False  # then it is the columns that begin there


def gemm(a: Matrices, b: Matrices, out: Matrices, shape: tuple[int, int, int], *, batches=1, add=False) -> None:
    """out[i] = a[i] b[i] for i < batches, with `add` out[i] += a[i] b[i]; shape (M,N,P): a (M,P), b (P,N), out (M,N).

    ValueError where a matrix does not fit its array, where rows overlap, or where an array is not contiguous float32.
    """
    M, N, P = shape
    for matrices, rows, columns in ((a, M, P), (b, P, N), (out, M, N)):
        _check(matrices, *((columns, rows) if matrices.transposed else (rows, columns)), batches)
    cupy = xp(out.array)
    cublas = cupy.cuda.cublas
    operations = [cublas.CUBLAS_OP_T if matrices.transposed else cublas.CUBLAS_OP_N for matrices in (b, a)]
    operands = [
        (m.array.data.ptr + 4 * m.start, cupy.cuda.runtime.CUDA_R_32F, m.row_step, m.batch_step) for m in (b, a, out)
    ]
    # cuBLAS counts in columns. Our rows are its columns: it sees aᵀ, bᵀ, outᵀ, and outᵀ = bᵀ aᵀ.
    cublas.gemmStridedBatchedEx(
        *(cupy.cuda.device.get_cublas_handle(), *operations, N, M, P, ONE.ctypes.data, *operands[0], *operands[1]),
        *(
            (ONE if add else ZERO).ctypes.data,
            *operands[2],
            batches,
            cublas.CUBLAS_COMPUTE_32F,
            cublas.CUBLAS_GEMM_DEFAULT,
        ),
    )


def _check(m: Matrices, rows: int, columns: int, batches: int) -> None:
    """Nothing below notices a wrong address."""
    if m.array.dtype != np.float32 or not m.array.flags.c_contiguous:
        raise ValueError(f"gemm: arrays must be contiguous float32, this one is {m.array.dtype}")
    if min(rows, columns, batches) < 1 or m.row_step < columns or m.start < 0 or m.batch_step < 0:
        raise ValueError(f"gemm: {batches} matrices of {rows} rows of {columns}, {m.row_step} apart")
    if m.start + (batches - 1) * m.batch_step + (rows - 1) * m.row_step + columns > m.array.size:
        raise ValueError(f"gemm: {batches} matrices of {rows} x {columns} do not fit {m.array.size} numbers")


def multiply(x: Any, w: Any, out: Any, *, batch_step: int, row_step: int, tap_step: int = 0) -> Any:
    """x (*x), w (K,P,*N), out (B,M,N): out[b,m] = Σ_k Σ_p x.flat[b·batch_step + m·row_step + k·tap_step + p] · w[k,p].

    As `multiply` of the engine for CPUs: rows of P numbers, which may overlap. x and out are contiguous. Returns out.
    """
    batches, rows, N = out.shape
    (w,) = contiguous(w)
    taps, P = w.shape[:2]
    if math.prod(w.shape[2:]) != N:
        raise ValueError(f"multiply: weights {w.shape} do not fit outputs {out.shape}")
    if tap_step == P:  # the taps touch, and are one
        taps, P = 1, taps * P
    r = -(-P // row_step)
    for k in range(taps):
        for j in range(min(r, rows)):
            some_x = Matrices(x, r * row_step, k * tap_step + j * row_step, batch_step)
            some_out = Matrices(out, r * N, j * N, rows * N)
            shape = (-(-(rows - j) // r), N, P)
            gemm(some_x, Matrices(w, N, k * P * N), some_out, shape, batches=batches, add=k > 0)
    return out


def multiply_transposed(
    x: Any, dy: Any, *, taps: int, P: int, batch_step: int, row_step: int, tap_step: int = 0
) -> Any:
    """x (*x), dy (B,M,N) -> dw (K,P,N), dw[k,p] = Σ_b Σ_m x.flat[b·batch_step + m·row_step + k·tap_step + p] · dy[b,m].

    The gradient of w in `multiply`; K = taps. x and dy are contiguous. Each item of the batch has a sum of its own, so
    that also a small dw is work for all of the GPU; they are added up at the end. Where P exceeds the rows of an item,
    these sums would be more traffic than the product itself. Then the items become one, if their rows continue from one
    to the next; dy is 0 where a row straddles two. Otherwise one item after the other is added to the same dw.
    """
    batches, rows, N = dy.shape
    if tap_step == P:
        dw = multiply_transposed(x, dy, taps=1, P=taps * P, batch_step=batch_step, row_step=row_step)
        return dw.reshape(taps, P, N)
    apart = batches if rows >= P else 1
    if apart < batches and batch_step % row_step == 0:
        line = xp(dy).zeros((batches, batch_step // row_step, N), np.float32)
        line[:, :rows] = dy
        dy, rows, batches = line, (batches - 1) * line.shape[1] + rows, 1
    r = -(-P // row_step)
    dw = xp(dy).zeros((apart, taps, P, N), np.float32)
    for k in range(taps):
        for j in range(min(r, rows)):
            for b in range(0, batches, apart):
                some_x = Matrices(x, r * row_step, b * batch_step + k * tap_step + j * row_step, batch_step, True)
                some_dy = Matrices(dy, r * N, b * rows * N + j * N, rows * N)
                shape = (P, N, -(-(rows - j) // r))
                gemm(some_x, some_dy, Matrices(dw, N, k * P * N, taps * P * N), shape, batches=apart, add=True)
    return dw[0] if apart == 1 else dw.sum(axis=0)
