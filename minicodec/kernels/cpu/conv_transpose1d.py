"""The fast transposed convolution: `spread`, by which conv1d sends dy back. Definition: ops/conv_transpose1d.py."""

import numpy as np

from minicodec.kernels.cpu.conv1d import correlate, correlate_dw, spread
from minicodec.ops.conv_transpose1d import conv_transpose1d


def conv_transpose1d_forward_numba(x, w, *, stride=1):
    """x (B,T,Ci), w (K,Ci,Co) -> y (B,To,Co), To = (T - 1)·stride + K."""
    x = np.ascontiguousarray(x)
    return spread(x, w, (x.shape[1] - 1) * stride + len(w), stride, 1), (x, w)


def conv_transpose1d_backward_numba(dy, saved, *, stride=1, needs=(True, True)):
    """dy (B,To,Co) -> dx (B,T,Ci), dw (K,Ci,Co)."""
    x, w = saved
    dy = np.ascontiguousarray(dy)
    dx = correlate(dy, w.swapaxes(1, 2), x.shape[1], stride, 1) if needs[0] else None
    return dx, correlate_dw(dy, x, len(w), stride, 1).swapaxes(1, 2) if needs[1] else None


conv_transpose1d.add("numba", conv_transpose1d_forward_numba, conv_transpose1d_backward_numba)
