"""The operators, one a file: the NumPy definition first, the fast pair below it. A pair for GPUs is in NAME_cuda.py.

Every op is two plain functions on arrays. They never see a Tensor, so they can be called and read on their own:

    forward(*arrays, **attrs) -> (y, saved)       the result, and what the backward needs
    backward(dy, saved, **attrs) -> (dx, ...)     one gradient per input array

Axis letters: B batch, T time, To output time, C/Ci/Co channels, K kernel taps, F frequency bins, N codebook entries,
D latent width, H hidden units, V vocabulary. `dx` is the gradient of `x`, `dy` the one that arrives.
"""

from minicodec import jit

jit.prepare()
