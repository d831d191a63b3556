"""ELU, LeakyReLU and GELU on a GPU, and their derivatives: one pass over memory each, where CuPy needs three to eight.

Formulas and gradients: ops/activations.py.
"""

from minicodec.backend import xp
from minicodec.kernels.gpu.cuda import Kernels, contiguous
from minicodec.ops.activations import elu, gelu, leaky_relu

KERNELS = Kernels(
    "activations",
    r"""
__device__ long long entry() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }

extern "C" __global__ void elu(const float* x, float* y, long long n) {
    long long i = entry();
    if (i < n) y[i] = x[i] > 0 ? x[i] : expm1f(x[i]);
}

extern "C" __global__ void elu_grad(const float* x, const float* dy, float* dx, long long n) {
    long long i = entry();
    if (i < n) dx[i] = dy[i] * (x[i] > 0 ? 1.0f : expf(x[i]));
}

// For fused kernels, which keep y alone: to 6e-8, where the largest slope is 1.
extern "C" __global__ void elu_grad_from_result(const float* y, const float* dy, float* dx, long long n) {
    long long i = entry();
    if (i < n) dx[i] = dy[i] * (y[i] > 0 ? 1.0f : y[i] + 1.0f);
}

// x for dy gives the forward
extern "C" __global__ void leaky_relu_grad(const float* x, const float* dy, float* dx, float slope, long long n) {
    long long i = entry();
    if (i < n) dx[i] = dy[i] * (x[i] > 0 ? 1.0f : slope);
}

__device__ float normal_cdf(float x) { return 0.5f * erfcf(-0.70710678f * x); }  // erfc: 1 + erf(x) cancels below 0

extern "C" __global__ void gelu(const float* x, float* y, long long n) {
    long long i = entry();
    if (i < n) y[i] = x[i] * normal_cdf(x[i]);
}

extern "C" __global__ void gelu_grad(const float* x, const float* dy, float* dx, long long n) {
    long long i = entry();
    if (i < n) dx[i] = dy[i] * (normal_cdf(x[i]) + x[i] * 0.39894228f * expf(-0.5f * x[i] * x[i]));
}
""",
)


def run(function, *inputs, attrs=()):
    """A kernel over all entries of the inputs, which have one shape -> out, of that shape."""
    out = xp(*inputs).empty(inputs[0].shape, inputs[0].dtype)
    KERNELS.each(function, out.size, *contiguous(*inputs), out, *attrs, out.size)
    return out


def elu_forward_cupy(x):
    """x (*x) -> y (*x)."""
    return run("elu", x), x


def elu_backward_cupy(dy, saved):
    """dy (*x) -> dx (*x)."""
    return (run("elu_grad", saved, dy),)


def leaky_relu_forward_cupy(x, *, slope=0.2):
    """x (*x) -> y (*x)."""
    return run("leaky_relu_grad", x, x, attrs=(float(slope),)), x


def leaky_relu_backward_cupy(dy, saved, *, slope=0.2):
    """dy (*x) -> dx (*x)."""
    return (run("leaky_relu_grad", saved, dy, attrs=(float(slope),)),)


def gelu_forward_cupy(x):
    """x (*x) -> y (*x)."""
    return run("gelu", x), x


def gelu_backward_cupy(dy, saved):
    """dy (*x) -> dx (*x)."""
    return (run("gelu_grad", saved, dy),)


elu.add("cupy", elu_forward_cupy, elu_backward_cupy)
leaky_relu.add("cupy", leaky_relu_forward_cupy, leaky_relu_backward_cupy)
gelu.add("cupy", gelu_forward_cupy, gelu_backward_cupy)
