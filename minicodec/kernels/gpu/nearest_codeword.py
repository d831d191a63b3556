"""The nearest codeword on a GPU: x·c by cuBLAS for many rows at a time, then a block for each row finds the smallest.

The score is ‖c‖² - 2 x·c, as everywhere (ops/nearest_codeword.py); of equal ones, the lowest index wins.
"""

import numpy as np

from minicodec.backend import xp
from minicodec.kernels.gpu.cublas import Matrices, gemm
from minicodec.kernels.gpu.cuda import Kernels, contiguous
from minicodec.ops.nearest_codeword import nearest_codeword, nearest_codeword_backward

ROWS = 16384  # at a time: with 1024 codewords, 64 MiB of products
THREADS = 128

KERNELS = Kernels(
    "nearest_codeword",
    r"""
// products (R,N) = x·c, norms (N) -> codes (R); a block for each row, blockDim.x a power of 2
extern "C" __global__ void smallest(const float* products, const float* norms, long long* codes, long long N) {
    extern __shared__ float shared[];
    float* scores = shared;
    int* where = (int*)(shared + blockDim.x);
    const float* row = products + blockIdx.x * N;

    float best = __int_as_float(0x7f800000);  // infinity
    int code = 0;
    for (int n = threadIdx.x; n < N; n += blockDim.x) {
        float score = norms[n] - 2 * row[n];
        if (score < best) best = score, code = n;
    }
    scores[threadIdx.x] = best, where[threadIdx.x] = code;
    for (int half = blockDim.x / 2; half; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) {
            int mine = threadIdx.x, other = threadIdx.x + half;
            bool ties = scores[other] == scores[mine] && where[other] < where[mine];
            if (scores[other] < scores[mine] || ties) scores[mine] = scores[other], where[mine] = where[other];
        }
    }
    if (threadIdx.x == 0) codes[blockIdx.x] = where[0];
}
""",
)


def nearest_codeword_forward_cupy(x, codebook):
    """x (*b,D), codebook (N,D) -> codes (*b), int64 in [0, N)."""
    if x.shape[-1] != codebook.shape[1]:
        raise ValueError(f"nearest_codeword: vectors of {x.shape[-1]} numbers, codewords of {codebook.shape[1]}")
    rows, codebook = contiguous(x, codebook)
    (N, D), R = codebook.shape, x.size // x.shape[-1]
    norms = (codebook * codebook).sum(axis=1)
    codes = xp(x).empty(R, np.int64)
    for first in range(0, R, ROWS):
        n = min(ROWS, R - first)
        products = xp(x).empty((n, N), np.float32)
        gemm(Matrices(rows, D, first * D), Matrices(codebook, D, transposed=True), Matrices(products, N), (n, N, D))
        KERNELS.launch("smallest", n, THREADS, products, norms, codes[first : first + n], N, shared=8 * THREADS)
    return codes.reshape(x.shape[:-1]), ()


nearest_codeword.add("cupy", nearest_codeword_forward_cupy, nearest_codeword_backward)
