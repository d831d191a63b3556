"""The short-time Fourier transform item by item: what one needs stays in the cache, and threads share the items.

Each is the definition's, ops/stft.py, and so are the bits. NumPy lets other threads run while it transforms.
"""

import numpy as np

from minicodec.ops import stft
from minicodec.threads import share_out, threads_for


def pair_by_items(forward, backward):
    """A (forward, backward) pair that calls the given one for each item; `saved` is a list of what it saved."""

    def forward_numba(x, **options):
        if len(x) == 1 or x.ndim != 2:  # which it refuses
            y, saved = forward(x, **options)
            return y, [saved]
        done = of_each(len(x), x.size, lambda b: forward(x[b : b + 1], **options))
        return np.concatenate([y for y, _ in done]), [saved for _, saved in done]

    def backward_numba(dy, saved, **options):
        if len(dy) == 1:
            return backward(dy, saved[0], **options)
        done = of_each(len(dy), dy.size, lambda b: backward(dy[b : b + 1], saved[b], **options)[0])
        return (np.concatenate(done),)

    return forward_numba, backward_numba


def of_each(B, numbers, work):
    """-> [work(0), ..., work(B - 1)], on several threads if there are numbers enough."""
    results = [None] * B

    def items(first, last):
        for b in range(first, last):
            results[b] = work(b)

    share_out(threads_for(numbers), B, items)
    return results


stft.stft.add("numba", *pair_by_items(stft.stft_forward, stft.stft_backward))
stft.stft_magnitude.add("numba", *pair_by_items(stft.stft_magnitude_forward, stft.stft_magnitude_backward))
