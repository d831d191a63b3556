"""Adam on a GPU: one launch moves all parameters; the formula is in nn/optim.py.

A network has some two hundred parameters, most of them small. So the kernel is given a table of addresses, and its
blocks share out the parameters in pieces of 16384 numbers, however they lie in memory.
"""

from typing import Any, NamedTuple

import numpy as np

from minicodec.backend import xp
from minicodec.ops.cuda import THREADS, Kernels, contiguous

PIECE = 16384  # numbers for a block

KERNELS = Kernels(
    "adam",
    r"""
// arrays: n parameters, their gradients, their m, their v. Block i sees to piece pieces[i] of parameter owners[i].
extern "C" __global__ void adam(float* const* arrays, const long long* sizes, const float* factors,
                                const long long* owners, const long long* pieces, long long n, long long piece,
                                float beta1, float beta2, float eps, float keep) {
    long long owner = owners[blockIdx.x], first = pieces[blockIdx.x] * piece;
    long long last = min(first + piece, sizes[owner]);
    float *p = arrays[owner], *g = arrays[n + owner], *m = arrays[2 * n + owner], *v = arrays[3 * n + owner];
    float scale = factors[2 * owner], root = factors[2 * owner + 1];
    for (long long i = first + threadIdx.x; i < last; i += blockDim.x) {
        m[i] += (1 - beta1) * (g[i] - m[i]);
        v[i] += (1 - beta2) * (g[i] * g[i] - v[i]);
        p[i] = p[i] * keep - scale * m[i] / (sqrtf(v[i]) / root + eps);
    }
}
""",
)


class Job(NamedTuple):
    """A parameter that is to move: arrays of one shape, and two numbers as for `adam_update`."""

    p: Any
    g: Any
    m: Any
    v: Any
    scale: float
    root: float


def adam_update_cupy(jobs: list[Job], beta1: float, beta2: float, eps: float, decay: float) -> None:
    """One step of all of them, in place; p, m and v are contiguous."""
    cupy = xp(jobs[0].p)
    if not all(a.dtype == np.float32 and a.flags.c_contiguous for job in jobs for a in (job.p, job.m, job.v)):
        raise ValueError("adam: parameters and their means must be contiguous float32")
    gradients = contiguous(*(job.g for job in jobs))  # kept until the kernel has been launched
    arrays = [[job.p for job in jobs], gradients, [job.m for job in jobs], [job.v for job in jobs]]
    counts = np.array([-(-job.p.size // PIECE) for job in jobs])
    tables = (
        np.array([a.data.ptr for some in arrays for a in some], np.uint64),
        np.array([job.p.size for job in jobs], np.int64),
        np.array([(job.scale, job.root) for job in jobs], np.float32),
        np.repeat(np.arange(len(jobs)), counts),
        np.concatenate([np.arange(count) for count in counts]),
    )
    numbers = (float(x) for x in (beta1, beta2, eps, 1 - decay))
    KERNELS.launch("adam", int(counts.sum()), THREADS, *map(cupy.asarray, tables), len(jobs), PIECE, *numbers)
