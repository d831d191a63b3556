"""Adam on a GPU: one pass over memory, and one launch for each parameter. Definition: ops/adam.py."""

from minicodec.kernels.gpu.cuda import Kernels, contiguous
from minicodec.ops.adam import UPDATES

KERNELS = Kernels(
    "adam",
    r"""
extern "C" __global__ void adam(float* p, const float* g, float* m, float* v, float scale, float root,
                                float beta1, float beta2, float eps, float keep, long long n) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    m[i] += (1 - beta1) * (g[i] - m[i]);
    v[i] += (1 - beta2) * (g[i] * g[i] - v[i]);
    p[i] = p[i] * keep - scale * m[i] / (sqrtf(v[i]) / root + eps);
}
""",
)


def adam_update_cupy(p, g, m, v, *, scale, root, beta1, beta2, eps, decay):
    """As `adam_update`; p, m and v are contiguous."""
    KERNELS.each("adam", p.size, p, *contiguous(g), m, v, scale, root, beta1, beta2, eps, 1 - decay, p.size)


UPDATES["cupy"] = adam_update_cupy
