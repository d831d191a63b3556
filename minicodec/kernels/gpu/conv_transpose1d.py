"""The transposed convolution on a GPU: `spread`, by which conv1d sends dy back. Definition: ops/conv_transpose1d.py."""

from minicodec.kernels.gpu.conv1d import correlate, correlate_dw, spread
from minicodec.kernels.gpu.cuda import contiguous
from minicodec.ops.conv_transpose1d import conv_transpose1d


def conv_transpose1d_forward_cupy(x, w, *, stride=1):
    """x (B,T,Ci), w (K,Ci,Co) -> y (B,To,Co), To = (T - 1)·stride + K."""
    (x,) = contiguous(x)
    return spread(x, w, (x.shape[1] - 1) * stride + len(w), stride, 1), (x, w)


def conv_transpose1d_backward_cupy(dy, saved, *, stride=1, needs=(True, True)):
    """dy (B,To,Co) -> dx (B,T,Ci), dw (K,Ci,Co)."""
    x, w = saved
    (dy,) = contiguous(dy)
    dx = correlate(dy, w.swapaxes(1, 2), x.shape[1], stride, 1) if needs[0] else None
    return dx, correlate_dw(dy, x, len(w), stride, 1).swapaxes(1, 2) if needs[1] else None


conv_transpose1d.add("cupy", conv_transpose1d_forward_cupy, conv_transpose1d_backward_cupy)
