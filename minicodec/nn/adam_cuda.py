"""Adam on a GPU: one launch moves all parameters; the formula is in nn/optim.py.

A network has some two hundred parameters, most of them small. So the kernel is given a table of addresses, and its
blocks share out the parameters in pieces of 16384 numbers, however they lie in memory. One flat buffer for all would
need no table, but gradients come as arrays of their own and would have to be copied into it: one more pass over
memory, to save reading some kilobytes of addresses. And parameters keep their own arrays, as everywhere else.

What changes from step to step, learning rate and step count, stands in the table too and not among the kernel's
arguments: a captured graph [training/graph.py] repeats its arguments for ever.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicodec.backend import xp
from minicodec.kernels.gpu.cuda import THREADS, Kernels, contiguous, send

PIECE = 16384  # numbers for a block

KERNELS = Kernels(
    "adam",
    r"""
// arrays: n parameters, their gradients, their m, their v. Block i sees to piece pieces[i] of parameter owners[i].
extern "C" __global__ void adam(float* const* arrays, const long long* sizes, const float* factors,
                                const long long* owners, const long long* pieces, long long n, long long piece,
                                float beta1, float beta2, float eps) {
    long long owner = owners[blockIdx.x], first = pieces[blockIdx.x] * piece;
    long long last = min(first + piece, sizes[owner]);
    float *p = arrays[owner], *g = arrays[n + owner], *m = arrays[2 * n + owner], *v = arrays[3 * n + owner];
    float scale = factors[3 * owner], root = factors[3 * owner + 1], keep = factors[3 * owner + 2];
    for (long long i = first + threadIdx.x; i < last; i += blockDim.x) {
        m[i] += (1 - beta1) * (g[i] - m[i]);
        v[i] += (1 - beta2) * (g[i] * g[i] - v[i]);
        p[i] = p[i] * keep - scale * m[i] / (sqrtf(v[i]) / root + eps);
    }
}
""",
)


class Table:
    """What the kernel is told about parameters p that move, with their means m and v: contiguous float32 arrays."""

    def __init__(self, ps: Sequence[Any], ms: Sequence[Any], vs: Sequence[Any]):
        if not all(a.dtype == np.float32 and a.flags.c_contiguous for a in (*ps, *ms, *vs)):
            raise ValueError("adam: parameters and their means must be contiguous float32")
        cupy = xp(ps[0])
        self.ps, self.ms, self.vs = ps, ms, vs
        counts = np.array([-(-p.size // PIECE) for p in ps])
        self.blocks = int(counts.sum())
        self.sizes = cupy.asarray(np.array([p.size for p in ps], np.int64))
        self.owners = cupy.asarray(np.repeat(np.arange(len(ps)), counts))
        self.pieces = cupy.asarray(np.concatenate([np.arange(count) for count in counts]))
        self.factors = cupy.empty((len(ps), 3), np.float32)

    def move(self, gradients: Sequence[Any], beta1: float, beta2: float, eps: float) -> None:
        """One step of all, in place, by `factors`: a row of scale, root and 1 - decay [adam_update] for each."""
        gradients = contiguous(*gradients)  # kept until the kernel has been launched
        arrays = np.array([a.data.ptr for some in (self.ps, gradients, self.ms, self.vs) for a in some], np.uint64)
        addresses = xp(self.factors).empty(arrays.shape, np.uint64)
        send(addresses, arrays)
        static = (self.sizes, self.factors, self.owners, self.pieces, len(self.ps), PIECE)
        KERNELS.launch("adam", self.blocks, THREADS, addresses, *static, float(beta1), float(beta2), float(eps))
