"""Operators that are several in one: layers of the codec and of the discriminator, defined by the parts.

    conv1d_layer             conv1d(pad1d(elu(x)), w) + b                         encoder, decoder [Defossez22, §3.2]
    conv_transpose1d_layer   (conv_transpose1d(elu(x), w) + b), trimmed           decoder [Defossez22, §3.2]
    residual_unit            conv1d_layer(conv1d_layer(x)) + shortcut(x)          encoder, decoder [Defossez22, §3.2]
    conv2d_leaky_relu        leaky_relu(conv2d(x, w) + b)                         discriminator [Defossez22, §3.4]
    l1_distance              mean |x - y|                                         losses [Defossez22, §3.4]

A kernel that computes one of them in a single pass writes fewer arrays, and memory is slower than arithmetic: that is
the only reason for these ops to exist. A backend without such a kernel never runs the definitions here. It runs the
parts, each on its own pair (`functional`), and so does a student's backend.
"""

from minicodec.backend import Op, xp
from minicodec.ops.activations import elu_backward, elu_forward, leaky_relu_backward, leaky_relu_forward
from minicodec.ops.conv1d import conv1d_backward, conv1d_forward
from minicodec.ops.conv2d import conv2d_backward, conv2d_forward
from minicodec.ops.conv_transpose1d import conv_transpose1d_backward, conv_transpose1d_forward
from minicodec.ops.padding import pad1d_backward, pad1d_forward


def conv1d_layer_forward(x, w, b, *, elu=True, left=0, right=0, mode="zero", stride=1, dilation=1):
    """x (B,T,Ci), w (K,Ci,Co), b (Co) -> y (B,To,Co)."""
    a, saved_elu = elu_forward(x) if elu else (x, None)
    padded, saved_pad = pad1d_forward(a, left=left, right=right, mode=mode)
    z, saved_conv = conv1d_forward(padded, w, stride=stride, dilation=dilation)
    return z + b, (saved_elu, saved_pad, saved_conv)


def conv1d_layer_backward(dy, saved, *, elu=True, left=0, right=0, mode="zero", stride=1, dilation=1):
    """dy (B,To,Co) -> dx (B,T,Ci), dw (K,Ci,Co), db (Co)."""
    saved_elu, saved_pad, saved_conv = saved
    dpadded, dw = conv1d_backward(dy, saved_conv, stride=stride, dilation=dilation)
    (dx,) = pad1d_backward(dpadded, saved_pad, left=left, right=right, mode=mode)
    if elu:
        (dx,) = elu_backward(dx, saved_elu)
    return dx, dw, dy.sum(axis=(0, 1))


conv1d_layer = Op("conv1d_layer", conv1d_layer_forward, conv1d_layer_backward)


def check_trimming(T, K, stride, left, right):
    """ValueError unless some of the (T - 1)·stride + K frames are left: Python takes an end before 0 for another."""
    if min(left, right) < 0 or left + right > (T - 1) * stride + K:
        frames = (T - 1) * stride + K
        raise ValueError(f"conv_transpose1d_layer: {left} and {right} frames cannot be trimmed off {frames}")


def conv_transpose1d_layer_forward(x, w, b, *, stride=1, left=0, right=0):
    """x (B,T,Ci), w (K,Ci,Co), b (Co) -> y (B,To,Co), To = (T - 1)·stride + K - left - right."""
    check_trimming(x.shape[1], len(w), stride, left, right)
    a, saved_elu = elu_forward(x)
    z, saved_conv = conv_transpose1d_forward(a, w, stride=stride)
    return z[:, left : z.shape[1] - right] + b, (saved_elu, saved_conv)


def conv_transpose1d_layer_backward(dy, saved, *, stride=1, left=0, right=0):
    """dy (B,To,Co) -> dx (B,T,Ci), dw (K,Ci,Co), db (Co): what was trimmed has no gradient, b is not in it."""
    saved_elu, saved_conv = saved
    dz = xp(dy).pad(dy, ((0, 0), (left, right), (0, 0)))
    da, dw = conv_transpose1d_backward(dz, saved_conv, stride=stride)
    (dx,) = elu_backward(da, saved_elu)
    return dx, dw, dy.sum(axis=(0, 1))


conv_transpose1d_layer = Op("conv_transpose1d_layer", conv_transpose1d_layer_forward, conv_transpose1d_layer_backward)


def residual_unit_forward(x, w1, b1, w2, b2, ws, bs, *, left, right, mode="zero", dilation=1):
    """x (B,T,C), w1 (K,C,H), b1 (H), w2 (1,H,C), b2 (C), ws (1,C,C), bs (C) -> y (B,T,C); left + right = K - 1 taps."""
    if left + right != (len(w1) - 1) * dilation:
        raise ValueError(f"residual_unit: {left} + {right} frames of padding do not keep the length, K = {len(w1)}")
    h, saved1 = conv1d_layer_forward(x, w1, b1, left=left, right=right, mode=mode, dilation=dilation)
    z, saved2 = conv1d_layer_forward(h, w2, b2)
    s, saved_s = conv1d_layer_forward(x, ws, bs, elu=False)
    return s + z, (saved1, saved2, saved_s)


def residual_unit_backward(dy, saved, *, left, right, mode="zero", dilation=1):
    """dy (B,T,C) -> dx (B,T,C), dw1 (K,C,H), db1 (H), dw2 (1,H,C), db2 (C), dws (1,C,C), dbs (C)."""
    saved1, saved2, saved_s = saved
    dh, dw2, db2 = conv1d_layer_backward(dy, saved2)
    dx1, dw1, db1 = conv1d_layer_backward(dh, saved1, left=left, right=right, mode=mode, dilation=dilation)
    dx2, dws, dbs = conv1d_layer_backward(dy, saved_s, elu=False)
    return dx1 + dx2, dw1, db1, dw2, db2, dws, dbs


residual_unit = Op("residual_unit", residual_unit_forward, residual_unit_backward)


def conv2d_leaky_relu_forward(x, w, b, *, slope=0.2, stride=(1, 1), dilation=(1, 1), padding=(0, 0)):
    """x (B,T,F,Ci), w (Kt,Kf,Ci,Co), b (Co) -> y (B,To,Fo,Co)."""
    z, saved = conv2d_forward(x, w, stride=stride, dilation=dilation, padding=padding)
    y, _ = leaky_relu_forward(z + b, slope=slope)
    return y, (saved, y)


def conv2d_leaky_relu_backward(dy, saved, *, slope=0.2, stride=(1, 1), dilation=(1, 1), padding=(0, 0)):
    """dy (B,To,Fo,Co) -> dx (B,T,F,Ci), dw (Kt,Kf,Ci,Co), db (Co)."""
    saved, y = saved
    (dz,) = leaky_relu_backward(dy, y, slope=slope)
    dx, dw = conv2d_backward(dz, saved, stride=stride, dilation=dilation, padding=padding)
    return dx, dw, dz.sum(axis=(0, 1, 2))


conv2d_leaky_relu = Op("conv2d_leaky_relu", conv2d_leaky_relu_forward, conv2d_leaky_relu_backward)


def l1_distance_forward(x, y):
    """x (*x), y (*x) -> d ()."""
    if x.shape != y.shape:
        raise ValueError(f"l1_distance: shapes {x.shape} and {y.shape} differ")
    if x.size == 0:
        raise ValueError("l1_distance: there are no numbers to take the mean of")
    return abs(x - y).mean(), (x, y)


def l1_distance_backward(dd, saved):
    """dd () -> dx (*x), dy (*x): at x = y, where the distance has no slope, the mean of both sides, 0."""
    x, y = saved
    dx = xp(x).sign(x - y) * (dd / x.size)
    return dx, -dx


l1_distance = Op("l1_distance", l1_distance_forward, l1_distance_backward)
