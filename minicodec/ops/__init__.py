"""What every operator means: its forward and backward in plain NumPy, one operator a file, nothing else.

Every op is two plain functions on arrays. They never see a Tensor, so they can be called and read on their own:

    forward(*arrays, **attrs) -> (y, saved)       the result, and what the backward needs
    backward(dy, saved, **attrs) -> (dx, ...)     one gradient per input array

They are written with `xp(x)`, the module that made the array, and so run on CuPy arrays as they are. How an op is made
fast stands in the file of the same name in `kernels/cpu/` (Numba) and `kernels/gpu/` (CuPy).

Axis letters: B batch, T time, To output time, C/Ci/Co channels, K kernel taps, F frequency bins, N codebook entries,
D latent width, H hidden units, V vocabulary. `dx` is the gradient of `x`, `dy` the one that arrives.
"""
