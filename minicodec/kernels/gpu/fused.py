"""Layers of the codec on a GPU: ELU and its derivative on the way to and from the padded array.

Definitions: ops/fused.py. The bias takes a pass over the output of its own, since cuBLAS does not add it.
"""

from minicodec.kernels.gpu.activations import run as run_activation
from minicodec.kernels.gpu.arithmetic import column_sums_cupy
from minicodec.kernels.gpu.conv1d import conv1d_backward_cupy, conv1d_forward_cupy
from minicodec.kernels.gpu.conv_transpose1d import conv_transpose1d_backward_cupy, conv_transpose1d_forward_cupy
from minicodec.kernels.gpu.cuda import contiguous
from minicodec.kernels.gpu.padding import padded, padded_backward
from minicodec.ops.fused import (
    check_trimming,
    conv1d_layer,
    conv_transpose1d_layer,
    l1_distance,
    l1_distance_backward,
    l1_distance_forward,
)


def conv1d_layer_forward_cupy(x, w, b, *, elu=True, left=0, right=0, mode="zero", stride=1, dilation=1):
    """x (B,T,Ci), w (K,Ci,Co), b (Co) -> y (B,To,Co)."""
    a = padded(x, left, right, mode, elu) if elu or left or right else x
    y, saved = conv1d_forward_cupy(a, w, stride=stride, dilation=dilation)
    y += b
    return y, (*saved, x.shape[1])


def conv1d_layer_backward_cupy(
    dy, saved, *, elu=True, left=0, right=0, mode="zero", stride=1, dilation=1, needs=(True, True, True)
):
    """dy (B,To,Co) -> dx (B,T,Ci), dw (K,Ci,Co), db (Co)."""
    a, w, T = saved
    (dy,) = contiguous(dy)
    dx, dw = conv1d_backward_cupy(dy, (a, w), stride=stride, dilation=dilation, needs=needs[:2])
    if needs[0] and (elu or left or right):
        dx = padded_backward(dx, a, T, left, right, mode, elu)
    return dx, dw, column_sums_cupy(dy.reshape(-1, dy.shape[-1])) if needs[2] else None


def conv_transpose1d_layer_forward_cupy(x, w, b, *, stride=1, left=0, right=0):
    """x (B,T,Ci), w (K,Ci,Co), b (Co) -> y (B,To,Co), To = (T - 1)·stride + K - left - right."""
    check_trimming(x.shape[1], len(w), stride, left, right)
    a = run_activation("elu", x)
    z, _ = conv_transpose1d_forward_cupy(a, w, stride=stride)
    return z[:, left : z.shape[1] - right] + b, (a, w)


def conv_transpose1d_layer_backward_cupy(dy, saved, *, stride=1, left=0, right=0, needs=(True, True, True)):
    """dy (B,To,Co) -> dx (B,T,Ci), dw (K,Ci,Co), db (Co)."""
    a, w = saved
    (dy,) = contiguous(dy)
    dz = padded(dy, left, right, "zero")
    dx, dw = conv_transpose1d_backward_cupy(dz, (a, w), stride=stride, needs=needs[:2])
    if needs[0]:
        dx = run_activation("elu_grad_from_result", a, dx)
    return dx, dw, column_sums_cupy(dy.reshape(-1, dy.shape[-1])) if needs[2] else None


conv1d_layer.add("cupy", conv1d_layer_forward_cupy, conv1d_layer_backward_cupy)
conv_transpose1d_layer.add("cupy", conv_transpose1d_layer_forward_cupy, conv_transpose1d_layer_backward_cupy)
l1_distance.add("cupy", l1_distance_forward, l1_distance_backward)  # keeps less than its parts would
