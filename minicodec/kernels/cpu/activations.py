"""ELU, LeakyReLU and GELU in one pass over memory, shared out among threads. Definitions: ops/activations.py.

Each entry is computed alone, so threads change no bit. A kernel takes its share as slices, whose loops start at 0: only
then can Numba leave out its check for negative indices, and LLVM use vectors.
"""

import numpy as np

from minicodec.kernels.cpu.engine.compile import compiled
from minicodec.kernels.cpu.engine.fastmath import ONE, ZERO, exp32, expm1_32, normal_cdf32, normal_density32
from minicodec.ops.activations import elu, gelu, leaky_relu
from minicodec.threads import share_out, threads_for


@compiled
def elu_share(first, last, x, y):
    """Entries first ... last - 1 of x -> y."""
    x, y = x[first:last], y[first:last]
    for i in range(x.size):
        below = expm1_32(x[i])  # computed in any case: a branch would keep the loop from using vectors
        y[i] = x[i] if x[i] > ZERO else below


@compiled
def elu_grad_share(first, last, x, dy, dx):
    """x, dy -> dx."""
    x, dy, dx = x[first:last], dy[first:last], dx[first:last]
    for i in range(x.size):
        below = exp32(x[i])  # computed in any case, as above
        dx[i] = dy[i] * (ONE if x[i] > ZERO else below)


@compiled
def elu_grad_from_result_share(first, last, y, dy, dx):
    """y = elu(x), dy -> dx. For fused kernels, which keep y alone: to 6e-8, where the largest slope is 1."""
    y, dy, dx = y[first:last], dy[first:last], dx[first:last]
    for i in range(y.size):
        dx[i] = dy[i] * (ONE if y[i] > ZERO else y[i] + ONE)


@compiled
def leaky_relu_share(first, last, x, dy, slope, dx):
    """x, dy -> dx: dy where x > 0, else slope · dy. With x for dy, this is the forward."""
    x, dy, dx = x[first:last], dy[first:last], dx[first:last]
    for i in range(x.size):
        dx[i] = dy[i] * (ONE if x[i] > ZERO else slope)


@compiled
def gelu_share(first, last, x, y):
    """x -> y."""
    x, y = x[first:last], y[first:last]
    for i in range(x.size):
        y[i] = x[i] * normal_cdf32(x[i])


@compiled
def gelu_grad_share(first, last, x, dy, dx):
    """x, dy -> dx."""
    x, dy, dx = x[first:last], dy[first:last], dx[first:last]
    for i in range(x.size):
        dx[i] = dy[i] * (normal_cdf32(x[i]) + x[i] * normal_density32(x[i]))


def run_flat(kernel, shape, *inputs):
    """Run a kernel on the flattened inputs -> out (*shape), on several threads if that is worth it."""
    out = np.empty(shape, np.float32)
    flat = [np.ascontiguousarray(a).reshape(-1) if isinstance(a, np.ndarray) else a for a in (*inputs, out)]
    share_out(threads_for(out.size), out.size, kernel, *flat)
    return out


def elu_forward_numba(x):
    """x (*x) -> y (*x)."""
    return run_flat(elu_share, x.shape, x), x


def elu_backward_numba(dy, saved):
    """dy (*x) -> dx (*x)."""
    return (run_flat(elu_grad_share, dy.shape, saved, dy),)


def leaky_relu_forward_numba(x, *, slope=0.2):
    """x (*x) -> y (*x)."""
    return run_flat(leaky_relu_share, x.shape, x, x, np.float32(slope)), x


def leaky_relu_backward_numba(dy, saved, *, slope=0.2):
    """dy (*x) -> dx (*x)."""
    return (run_flat(leaky_relu_share, dy.shape, saved, dy, np.float32(slope)),)


def gelu_forward_numba(x):
    """x (*x) -> y (*x)."""
    return run_flat(gelu_share, x.shape, x), x


def gelu_backward_numba(dy, saved):
    """dy (*x) -> dx (*x)."""
    return (run_flat(gelu_grad_share, dy.shape, saved, dy),)


elu.add("numba", elu_forward_numba, elu_backward_numba)
leaky_relu.add("numba", leaky_relu_forward_numba, leaky_relu_backward_numba)
gelu.add("numba", gelu_forward_numba, gelu_backward_numba)
