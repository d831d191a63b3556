"""2-D convolution (correlation) over time and frequency, channels last, with strides and dilations.

One output looks at Kt x Kf inputs, and the window moves by (st, sf):

    y[b, t, f, o] = Σ_k Σ_m Σ_i  x[b, t·st + k·dt, f·sf + m·df, i] · w[k, m, i, o]

As in `conv1d`, one tap (k, m) at a time is a matrix product over the channels, and so are its two ways back.
Padding (zeros) is an attribute here, because a discriminator pads every conv alike: (pt, pf) on both sides.
"""

from minicodec.backend import Op, xp


def output_length(n, K, stride, dilation):
    """Number of windows of K taps that fit into n positions."""
    return (n - (K - 1) * dilation - 1) // stride + 1


def bins_of_tap(x, k, m, To, Fo, stride, dilation):
    """The view of x (B,T,F,C) that tap (k, m) sees, (B,To,Fo,C)."""
    (st, sf), (t, f) = stride, (k * dilation[0], m * dilation[1])
    return x[:, t : t + (To - 1) * st + 1 : st, f : f + (Fo - 1) * sf + 1 : sf]


def pad(x, padding):
    """x (B,T,F,C) with zeros around: pt frames before and after, pf bins below and above."""
    pt, pf = padding
    return xp(x).pad(x, ((0, 0), (pt, pt), (pf, pf), (0, 0)))


def conv2d_forward(x, w, *, stride=(1, 1), dilation=(1, 1), padding=(0, 0)):
    """x (B,T,F,Ci), w (Kt,Kf,Ci,Co) -> y (B,To,Fo,Co)."""
    padded = pad(x, padding)
    Kt, Kf = w.shape[:2]
    To = output_length(padded.shape[1], Kt, stride[0], dilation[0])
    Fo = output_length(padded.shape[2], Kf, stride[1], dilation[1])
    if To < 1 or Fo < 1:
        raise ValueError(f"conv2d: {padded.shape[1]} x {padded.shape[2]} is smaller than one window")
    y = xp(x).zeros((len(x), To, Fo, w.shape[3]), x.dtype)
    for k in range(Kt):
        for m in range(Kf):
            y += bins_of_tap(padded, k, m, To, Fo, stride, dilation) @ w[k, m]
    return y, (padded, w)


def conv2d_backward(dy, saved, *, stride=(1, 1), dilation=(1, 1), padding=(0, 0)):
    """dy (B,To,Fo,Co) -> dx (B,T,F,Ci), dw (Kt,Kf,Ci,Co)."""
    padded, w = saved
    To, Fo = dy.shape[1:3]
    dpadded, dw = xp(dy).zeros_like(padded), xp(dy).empty_like(w)
    for k in range(w.shape[0]):
        for m in range(w.shape[1]):
            view = bins_of_tap(dpadded, k, m, To, Fo, stride, dilation)
            view += dy @ w[k, m].T
            seen = bins_of_tap(padded, k, m, To, Fo, stride, dilation)
            dw[k, m] = xp(dy).tensordot(seen, dy, axes=((0, 1, 2), (0, 1, 2)))
    (pt, pf), (T, F) = padding, padded.shape[1:3]
    return dpadded[:, pt : T - pt, pf : F - pf], dw


conv2d = Op("conv2d", conv2d_forward, conv2d_backward)
