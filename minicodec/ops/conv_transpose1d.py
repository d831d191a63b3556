"""1-D transposed convolution, channels last: how a decoder makes T·stride frames out of T.

Where a convolution's window reads K frames and writes one, here one input frame writes a window of K output frames,
the windows move by `stride`, and where they overlap they add:

    y[b, t·stride + k, o] += Σ_i  x[b, t, i] · w[k, i, o]

"Transposed" is meant literally. Convolution is linear, y = A x for some big sparse matrix A; this op multiplies by
Aᵀ (with the channel axes of w swapped). So the backward of one is the forward of the other, and the backward below
is a strided convolution of dy. Trimming the ends (a causal decoder drops K - stride frames on the right) is slicing,
and the bias is `add`.
"""

from minicodec.backend import Op, xp
from minicodec.ops.conv1d import frames_of_tap


def conv_transpose1d_forward(x, w, *, stride=1):
    """x (B,T,Ci), w (K,Ci,Co) -> y (B,To,Co), To = (T - 1)·stride + K."""
    B, T, _ = x.shape
    K, _, Co = w.shape
    if T == 0:
        raise ValueError("conv_transpose1d: there are no frames")
    y = xp(x).zeros((B, (T - 1) * stride + K, Co), x.dtype)
    for k in range(K):
        view = frames_of_tap(y, k, T, stride, 1)
        view += x @ w[k]
    return y, (x, w)


def conv_transpose1d_backward(dy, saved, *, stride=1):
    """dy (B,To,Co) -> dx (B,T,Ci), dw (K,Ci,Co).

    x[t] met w[k] on its way to y[t·stride + k]; so dy of that frame meets w[k]ᵀ on its way back to x[t], and w[k]
    collects x'dy over all batches and times.
    """
    x, w = saved
    T = x.shape[1]
    dx, dw = xp(x).zeros_like(x), xp(w).empty_like(w)
    for k in range(len(w)):
        dy_k = frames_of_tap(dy, k, T, stride, 1)
        dx += dy_k @ w[k].T
        dw[k] = xp(x).tensordot(x, dy_k, axes=((0, 1), (0, 1)))
    return dx, dw


conv_transpose1d = Op("conv_transpose1d", conv_transpose1d_forward, conv_transpose1d_backward)
