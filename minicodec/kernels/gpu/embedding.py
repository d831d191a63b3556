"""Sums by index on a GPU: the gradient of an embedding's table, and how a codebook counts who chose its entries.

Each row of a table collects rows from anywhere. The usual way, a thread for each number that adds it where it belongs,
needs atomic additions, in an order that is never twice the same: neither are the sums. Here a block owns a row of the
table. It reads all indices, and its threads, one for each column, add the rows that are its own, first to last. For N
rows and n indices that is N·n comparisons, 10 million for a codebook in training,
shared out over thousands of threads.
"""

import numpy as np

from minicodec.backend import xp
from minicodec.kernels.gpu.cuda import Kernels, contiguous
from minicodec.ops.embedding import embedding, embedding_forward

THREADS = 128  # columns of a block; and indices that are in shared memory at a time

KERNELS = Kernels(
    "embedding",
    r"""
// rows (n,D), indices (n) -> sums (N,D), counts (N); a block for each row of sums and blockDim.x columns
extern "C" __global__ void sums_by_index(const float* rows, const long long* indices, float* sums, float* counts,
                                         long long n, long long N, long long D) {
    extern __shared__ float shared[];
    int* some = (int*)shared;
    int entry = blockIdx.x % N;
    long long column = blockIdx.x / N * blockDim.x + threadIdx.x;
    float sum = 0;
    int count = 0;
    for (long long first = 0; first < n; first += blockDim.x) {
        __syncthreads();  // nobody still reads the indices before
        some[threadIdx.x] = first + threadIdx.x < n ? (int)indices[first + threadIdx.x] : -1;
        __syncthreads();
        for (int i = 0; i < blockDim.x; i++)
            if (some[i] == entry) {
                if (column < D) sum += rows[(first + i) * D + column];
                count++;
            }
    }
    if (column < D) sums[entry * D + column] = sum;
    if (column == 0) counts[entry] = count;
}
""",
)


def sums_by_index(rows, indices, N):
    """rows (*b,D), indices (*b) in [0, N) -> sums (N,D) of the rows with each index, counts (N), both float32."""
    rows, indices = contiguous(rows, indices)
    n, D = indices.size, rows.shape[-1]
    sums, counts = xp(rows).empty((N, D), np.float32), xp(rows).empty(N, np.float32)
    blocks = N * -(-D // THREADS)
    KERNELS.launch("sums_by_index", blocks, THREADS, rows, indices, sums, counts, n, N, D, shared=4 * THREADS)
    return sums, counts


def embedding_backward_cupy(dy, saved):
    """dy (*b,D) -> dtable (N,D); None for the indices."""
    (N, _), indices = saved
    return sums_by_index(dy, indices.astype(np.int64, copy=False), N)[0], None


embedding.add("cupy", embedding_forward, embedding_backward_cupy)
