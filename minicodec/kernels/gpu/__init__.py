"""Pairs for NVIDIA GPUs, on CuPy: matrix products by cuBLAS, the rest in CUDA C. One file an operator, as in `ops/`.

Importing this package gives every op that has such a pair its "cupy" backend. Ops without one run their definitions,
which are written with `xp(x)` and so run on CuPy arrays as they are.
"""

from minicodec.kernels.gpu import (
    activations,
    adam,
    arithmetic,
    conv1d,
    conv2d,
    conv_transpose1d,
    embedding,
    fused,
    linear,
    lstm,
    nearest_codeword,
    padding,
    stft,
    weight_norm,
)
