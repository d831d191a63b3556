"""Embedding: a table with one vector for each of N symbols; the forward looks vectors up.

It is the product of a one-hot matrix with the table, without ever making that matrix. So the backward is the product
with its transpose: each looked-up row of the table collects the gradients of all the places that looked it up.
"""

import numpy as np
from numba import njit

from minicodec.backend import Op, xp
from minicodec.ops.embedding_cuda import embedding_backward_cupy


def check_indices(indices, N):
    """ValueError unless all are in [0, N). Not asked of a GPU's indices: Python would wait for the answer each time."""
    if xp(indices) is np and indices.size and (indices.min() < 0 or indices.max() >= N):
        raise ValueError(f"embedding: indices {indices.min()} .. {indices.max()} are not in [0, {N})")


def embedding_forward(table, indices):
    """table (N,D), indices (*b) -> y (*b,D); indices are integers in [0, N)."""
    check_indices(indices, len(table))
    return table[indices], (table.shape, indices)


def embedding_backward(dy, saved):
    """dy (*b,D) -> dtable (N,D); None for the indices."""
    shape, indices = saved
    dtable = xp(dy).zeros(shape, dy.dtype)
    xp(dy).add.at(dtable, indices, dy)  # dtable[indices] += dy would keep one of the gradients of a repeated index
    return dtable, None


embedding = Op("embedding", embedding_forward, embedding_backward)


# Numba: NumPy's add.at goes through a general inner loop; adding whole rows is nine times as fast.


@njit(cache=True)
def add_rows(dtable, indices, dy):
    """dtable (N,D) += dy (n,D), row by row, at indices (n), in their order."""
    for i in range(len(indices)):
        for d in range(dtable.shape[1]):
            dtable[indices[i], d] += dy[i, d]


def embedding_backward_numba(dy, saved):
    """dy (*b,D) -> dtable (N,D); None for the indices."""
    (N, D), indices = saved
    dtable = np.zeros((N, D), np.float32)
    add_rows(dtable, np.ascontiguousarray(indices).reshape(-1), np.ascontiguousarray(dy).reshape(-1, D))
    return dtable, None


embedding.add("numba", embedding_forward, embedding_backward_numba)
embedding.add("cupy", embedding_forward, embedding_backward_cupy)
