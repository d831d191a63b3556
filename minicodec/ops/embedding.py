"""Embedding: a table with one vector for each of N symbols; the forward looks vectors up.

It is the product of a one-hot matrix with the table, without ever making that matrix. So the backward is the product
with its transpose: each looked-up row of the table collects the gradients of all the places that looked it up.
"""

import numpy as np

from minicodec.backend import Op, xp


def check_indices(indices, N):
    """ValueError unless all are whole and in [0, N). A GPU's are not looked at: Python would wait each time."""
    if indices.dtype.kind not in "iu":
        raise ValueError(f"embedding: indices are whole numbers, not {indices.dtype}")
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


embedding = Op("embedding", embedding_forward, embedding_backward, indices=(1,))
