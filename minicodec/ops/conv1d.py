"""1-D convolution (correlation, as the field says), channels last, with stride and dilation.

One output frame looks at K input frames, `dilation` apart, and the window moves by `stride`:

    y[b, t, o] = Σ_k Σ_i  x[b, t·stride + k·dilation, i] · w[k, i, o]

Read one tap k at a time, this is a matrix product: a strided view of x, (To,Ci), times w[k], (Ci,Co). The three
products of a layer all have this form: y from x and w, dx from dy and w, dw from x and dy.
Padding is an op of its own, so windows here lie wholly inside x. Bias is `add`.
"""

from minicodec.backend import Op, xp


def output_length(T, K, stride=1, dilation=1):
    """Number of windows of K taps that fit into T frames."""
    return (T - (K - 1) * dilation - 1) // stride + 1


def frames_of_tap(x, k, To, stride, dilation):
    """The view of x (B,T,C) that tap k sees: frames k·dilation, k·dilation + stride, ... -> (B,To,C)."""
    start = k * dilation
    return x[:, start : start + (To - 1) * stride + 1 : stride]


def conv1d_forward(x, w, *, stride=1, dilation=1):
    """x (B,T,Ci), w (K,Ci,Co) -> y (B,To,Co)."""
    K = len(w)
    To = output_length(x.shape[1], K, stride, dilation)
    if To < 1:
        raise ValueError(f"conv1d: {x.shape[1]} frames are shorter than one window of {(K - 1) * dilation + 1}")
    y = frames_of_tap(x, 0, To, stride, dilation) @ w[0]
    for k in range(1, K):
        y += frames_of_tap(x, k, To, stride, dilation) @ w[k]
    return y, (x, w)


def conv1d_backward(dy, saved, *, stride=1, dilation=1):
    """dy (B,To,Co) -> dx (B,T,Ci), dw (K,Ci,Co).

    x[t·stride + k·dilation] met w[k] on its way to y[t]; so dy[t] meets w[k]ᵀ on its way back to that same frame,
    and w[k] collects x'dy over all batches and times.
    """
    x, w = saved
    To = dy.shape[1]
    dx, dw = xp(x).zeros_like(x), xp(w).empty_like(w)
    for k in range(len(w)):
        view = frames_of_tap(dx, k, To, stride, dilation)
        view += dy @ w[k].T
        dw[k] = xp(x).tensordot(frames_of_tap(x, k, To, stride, dilation), dy, axes=((0, 1), (0, 1)))
    return dx, dw


conv1d = Op("conv1d", conv1d_forward, conv1d_backward)
