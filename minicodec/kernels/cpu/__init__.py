"""Pairs for CPUs, compiled by Numba on an engine of matrix products. One file an operator, as in `ops/`.

Importing this package gives every op that has such a pair its "numba" backend. All of them are for float32.
"""

from minicodec.kernels.cpu import (
    activations,
    adam,
    arithmetic,
    conv1d,
    conv1d_layer,
    conv2d,
    conv2d_leaky_relu,
    conv_transpose1d,
    conv_transpose1d_layer,
    embedding,
    l1_distance,
    linear,
    lstm,
    nearest_codeword,
    norm,
    residual_unit,
    softmax_cross_entropy,
    stft,
    weight_norm,
)
