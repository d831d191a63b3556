"""Weight normalisation on a GPU: one launch forward, one backward; formulas in ops/weight_norm.py.

With v as (before, n, after), each of the n entries of the axis has a length. Its numbers lie `after` in a row; where
the axis is the last one, after = 1, neighbouring threads read neighbouring entries instead.
"""

import math

from minicodec.backend import xp
from minicodec.kernels.gpu.arithmetic import columns_of_a_block
from minicodec.kernels.gpu.cuda import THREADS, Kernels, contiguous
from minicodec.ops.weight_norm import weight_norm

KERNELS = Kernels(
    "weight_norm",
    r"""
// The sum over all threads that share this thread's column; as many as blockDim.x / columns, a power of 2.
// Once a kernel: nobody waits here until all have read the sums of a call before.
__device__ float sum_of_column(float x, float* shared, int columns) {
    shared[threadIdx.x] = x;
    for (int half = blockDim.x / columns / 2; half; half /= 2) {
        __syncthreads();
        if (threadIdx.x / columns < half) shared[threadIdx.x] += shared[threadIdx.x + half * columns];
    }
    __syncthreads();
    return shared[threadIdx.x % columns];
}

extern "C" __global__ void weight_norm(const float* v, const float* g, float* w, float* length, long long before,
                                       long long n, long long after, long long columns) {
    extern __shared__ float shared[];
    long long entry = blockIdx.x * columns + threadIdx.x % columns, parts = blockDim.x / columns;
    long long first = threadIdx.x / columns, last = entry < n ? before * after : 0;
    float sum = 0;
    for (long long i = first; i < last; i += parts) {
        float x = v[(i / after * n + entry) * after + i % after];
        sum += x * x;
    }
    float norm = sqrtf(sum_of_column(sum, shared, columns));
    for (long long i = first; i < last; i += parts) {
        long long at = (i / after * n + entry) * after + i % after;
        w[at] = g[entry] * (v[at] / norm);
    }
    if (first == 0 && last) length[entry] = norm;
}

extern "C" __global__ void weight_norm_grad(const float* v, const float* g, const float* length, const float* dw,
                                            float* dv, float* dg, long long before, long long n, long long after,
                                            long long columns) {
    extern __shared__ float shared[];
    long long entry = blockIdx.x * columns + threadIdx.x % columns, parts = blockDim.x / columns;
    long long first = threadIdx.x / columns, last = entry < n ? before * after : 0;
    float sum = 0, norm = last ? length[entry] : 1;
    for (long long i = first; i < last; i += parts) {
        long long at = (i / after * n + entry) * after + i % after;
        sum += dw[at] * (v[at] / norm);
    }
    float along = sum_of_column(sum, shared, columns);  // what of dw points along v
    for (long long i = first; i < last; i += parts) {
        long long at = (i / after * n + entry) * after + i % after;
        dv[at] = g[entry] / norm * (dw[at] - along * (v[at] / norm));
    }
    if (first == 0 && last) dg[entry] = along;
}
""",
)


def run(function, shape, axis, *arrays):
    """One of the kernels for weights of this shape."""
    before, n, after = math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
    columns = columns_of_a_block(n) if after == 1 else 1
    KERNELS.launch(*(function, -(-n // columns), THREADS, *arrays, before, n, after, columns), shared=4 * THREADS)


def weight_norm_forward_cupy(v, g, *, axis):
    """v (*v), g (*g) -> w (*v)."""
    axis %= v.ndim
    if g.shape != tuple(n if i == axis else 1 for i, n in enumerate(v.shape)):
        raise ValueError(f"weight_norm: g has shape {g.shape}, which does not fit v {v.shape} and axis {axis}")
    v, g = contiguous(v, g)
    w, length = xp(v).empty(v.shape, v.dtype), xp(v).empty(g.shape, v.dtype)
    run("weight_norm", v.shape, axis, v, g, w, length)
    return w, (v, g, length)


def weight_norm_backward_cupy(dw, saved, *, axis):
    """dw (*v) -> dv (*v), dg (*g)."""
    v, g, length = saved
    (dw,) = contiguous(dw)
    dv, dg = xp(v).empty(v.shape, v.dtype), xp(v).empty(g.shape, v.dtype)
    run("weight_norm_grad", v.shape, axis % v.ndim, v, g, length, dw, dv, dg)
    return dv, dg


weight_norm.add("cupy", weight_norm_forward_cupy, weight_norm_backward_cupy)
