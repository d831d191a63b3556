"""The sum of each column on a GPU: the gradient of a bias.

Rows may be millions and columns few. So the rows are cut into segments, a block sums one segment, and the same kernel
then sums the segments' sums. In a block, as many neighbouring threads as there are columns, at most 32, read
neighbouring numbers; the sums of the other threads for the same columns are added up in pairs. All in a fixed order.
"""

import numpy as np

from minicodec.backend import xp
from minicodec.kernels.gpu.cuda import THREADS, Kernels
from minicodec.ops.arithmetic import add, add_forward, unbroadcast

SEGMENTS = 512  # enough for all units of any GPU

KERNELS = Kernels(
    "column_sums",
    r"""
// rows (M,C) -> sums (segments,C); block (segment, group of columns) has columns · parts threads
extern "C" __global__ void column_sums(const float* rows, float* sums, long long M, long long C, long long segments,
                                       long long columns) {
    extern __shared__ float shared[];
    long long segment = blockIdx.x % segments, parts = blockDim.x / columns, part = threadIdx.x / columns;
    long long c = blockIdx.x / segments * columns + threadIdx.x % columns;
    float sum = 0;
    if (c < C)
        for (long long m = M * segment / segments + part; m < M * (segment + 1) / segments; m += parts)
            sum += rows[m * C + c];
    shared[threadIdx.x] = sum;
    for (int half = parts / 2; half; half /= 2) {
        __syncthreads();
        if (part < half) shared[threadIdx.x] += shared[threadIdx.x + half * columns];
    }
    if (part == 0 && c < C) sums[segment * C + c] = shared[threadIdx.x];
}
""",
)


def columns_of_a_block(C):
    """Up to 32, a power of 2, so that the rest of a block's threads can be halved down to one."""
    return min(32, 1 << (C - 1).bit_length())


def column_sums_cupy(rows):
    """rows (M,C), contiguous -> (C)."""
    M, C = rows.shape
    columns = columns_of_a_block(C)
    groups = -(-C // columns)
    segments = max(1, min(SEGMENTS, M // THREADS))
    sums = xp(rows).empty((segments, C), np.float32)
    KERNELS.launch(
        *("column_sums", segments * groups, THREADS, rows, sums, M, C, segments, columns), shared=4 * THREADS
    )
    if segments > 1:
        total = xp(rows).empty((1, C), np.float32)
        KERNELS.launch("column_sums", groups, THREADS, sums, total, segments, C, 1, columns, shared=4 * THREADS)
        sums = total
    return sums[0]


def add_backward_cupy(dy, saved, *, needs=(True, True)):
    """dy (*y) -> da (*a), db (*b)."""
    a_shape, b_shape = saved
    db = None
    if needs[1] and dy.ndim > 1 and dy.shape[-1:] == b_shape and dy.flags.c_contiguous:
        db = column_sums_cupy(dy.reshape(-1, *b_shape))
    elif needs[1]:
        db = unbroadcast(dy, b_shape)
    return unbroadcast(dy, a_shape) if needs[0] else None, db


add.add("cupy", add_forward, add_backward_cupy)
