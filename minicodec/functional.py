"""What one calls on Tensors: the ops by name, and the few compositions of them that layers and losses share.

Shapes, formulas and gradients stand in the op's own file in `minicodec/ops/`.
"""

from collections.abc import Sequence
from typing import Any

from minicodec.backend import Op, xp
from minicodec.ops import (
    activations,
    companding as companding_op,
    conv1d as conv1d_op,
    conv2d as conv2d_op,
    conv_transpose1d as conv_transpose1d_op,
    embedding as embedding_op,
    fused,
    linear as linear_op,
    lstm as lstm_op,
    nearest_codeword as nearest_codeword_op,
    norm as norm_op,
    padding as padding_op,
    shape as shape_op,
    softmax_cross_entropy as softmax_op,
    stft as stft_op,
    weight_norm as weight_norm_op,
)
from minicodec.tensor import Tensor, apply

# Elementwise: x (...) -> y (...)


def elu(x: Any) -> Tensor:
    """x where positive, e^x - 1 elsewhere."""
    return apply(activations.elu, x)


def leaky_relu(x: Any, slope: float = 0.2) -> Tensor:
    """x where positive, slope·x elsewhere."""
    return apply(activations.leaky_relu, x, slope=slope)


def tanh(x: Any) -> Tensor:
    """Hyperbolic tangent."""
    return apply(activations.tanh, x)


def sigmoid(x: Any) -> Tensor:
    """1 / (1 + e^-x)."""
    return apply(activations.sigmoid, x)


def gelu(x: Any) -> Tensor:
    """x Φ(x), Φ the normal distribution function."""
    return apply(activations.gelu, x)


def exp(x: Any) -> Tensor:
    """e^x."""
    return apply(activations.exp, x)


def log(x: Any) -> Tensor:
    """Natural logarithm."""
    return apply(activations.log, x)


def sqrt(x: Any) -> Tensor:
    """Square root."""
    return apply(activations.sqrt, x)


def absolute(x: Any) -> Tensor:
    """|x|; the gradient at 0 is 0."""
    return apply(activations.abs, x)


def clamp_min(x: Any, floor: float) -> Tensor:
    """max(x, floor)."""
    return apply(activations.clamp_min, x, floor=floor)


def companding(x: Any, power: float, smoothing: float) -> Tensor:
    """x (x² + smoothing²)^((power - 1)/2): nearly sign(x) |x|^power."""
    return apply(companding_op.companding, x, power=power, smoothing=smoothing)


# Linear maps


def linear(x: Any, w: Any) -> Tensor:
    """x (...,Ci), w (Ci,Co) -> y (...,Co)."""
    return apply(linear_op.linear, x, w)


def matmul(a: Any, b: Any) -> Tensor:
    """a (...,M,K), b (...,K,N) -> y (...,M,N)."""
    return apply(linear_op.matmul, a, b)


def pad1d(x: Any, left: int, right: int, mode: str = "zero") -> Tensor:
    """x (B,T,C) -> y (B,left+T+right,C), the new frames zero or reflected."""
    if left == right == 0:
        return x
    return apply(padding_op.pad1d, x, left=left, right=right, mode=mode)


def conv1d(x: Any, w: Any, stride: int = 1, dilation: int = 1) -> Tensor:
    """x (B,T,Ci), w (K,Ci,Co) -> y (B,To,Co)."""
    return apply(conv1d_op.conv1d, x, w, stride=stride, dilation=dilation)


def conv_transpose1d(x: Any, w: Any, stride: int = 1) -> Tensor:
    """x (B,T,Ci), w (K,Ci,Co) -> y (B,(T-1)·stride+K,Co)."""
    return apply(conv_transpose1d_op.conv_transpose1d, x, w, stride=stride)


def conv1d_layer(
    x: Any,
    w: Any,
    b: Any,
    elu: bool,
    left: int,
    right: int,
    mode: str = "zero",
    stride: int = 1,
    dilation: int = 1,
) -> Tensor:
    """x (B,T,Ci), w (K,Ci,Co), b (Co) -> y (B,To,Co): conv1d(pad1d(elu(x)), w) + b, ELU if `elu`."""
    if _in_one(fused.conv1d_layer, x, w, b):
        attrs = {"elu": elu, "left": left, "right": right, "mode": mode, "stride": stride, "dilation": dilation}
        return apply(fused.conv1d_layer, x, w, b, **attrs)
    x = pad1d(apply(activations.elu, x) if elu else x, left, right, mode)
    return conv1d(x, w, stride, dilation) + b


def conv_transpose1d_layer(x: Any, w: Any, b: Any, stride: int, left: int, right: int) -> Tensor:
    """x (B,T,Ci), w (K,Ci,Co), b (Co) -> y (B,To,Co): conv_transpose1d(elu(x), w) + b, trimmed on both sides."""
    if _in_one(fused.conv_transpose1d_layer, x, w, b):
        return apply(fused.conv_transpose1d_layer, x, w, b, stride=stride, left=left, right=right)
    fused.check_trimming(x.shape[1], len(w), stride, left, right)
    y = conv_transpose1d(elu(x), w, stride) + b
    return y[:, left : y.shape[1] - right]


def residual_unit(
    x: Any,
    convolutions: Sequence[tuple[Any, Any]],
    left: int,
    right: int,
    mode: str = "zero",
    dilation: int = 1,
) -> Tensor:
    """x (B,T,C) -> y (B,T,C), shortcut(x) + second(elu(first(pad1d(elu(x))))); (w, b) of first, second, shortcut."""
    first, second, shortcut = convolutions
    if _in_one(fused.residual_unit, x, *first, *second, *shortcut):
        attrs = {"left": left, "right": right, "mode": mode, "dilation": dilation}
        return apply(fused.residual_unit, x, *first, *second, *shortcut, **attrs)
    h = conv1d_layer(x, *first, True, left, right, mode, 1, dilation)
    return conv1d_layer(h, *second, True, 0, 0) + conv1d_layer(x, *shortcut, False, 0, 0)


def _in_one(op: Op, *inputs: Any) -> bool:
    """Has the backend in use a pair for an op that several others make up? Else those run, each on its own pair."""
    arrays = (x.data if isinstance(x, Tensor) else x for x in inputs)
    return op.pair(*arrays) is not op.pairs["numpy"]


def conv2d(
    x: Any,
    w: Any,
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
) -> Tensor:
    """x (B,T,F,Ci), w (Kt,Kf,Ci,Co) -> y (B,To,Fo,Co)."""
    return apply(conv2d_op.conv2d, x, w, stride=stride, dilation=dilation, padding=padding)


def conv2d_leaky_relu(
    x: Any,
    w: Any,
    b: Any,
    slope: float = 0.2,
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
) -> Tensor:
    """x (B,T,F,Ci), w (Kt,Kf,Ci,Co), b (Co) -> y (B,To,Fo,Co): leaky_relu(conv2d(x, w) + b)."""
    if _in_one(fused.conv2d_leaky_relu, x, w, b):
        return apply(fused.conv2d_leaky_relu, x, w, b, slope=slope, stride=stride, dilation=dilation, padding=padding)
    return leaky_relu(conv2d(x, w, stride, dilation, padding) + b, slope)


def embedding(table: Any, indices: Any) -> Tensor:
    """table (N,D), indices (...) integers -> y (...,D)."""
    return apply(embedding_op.embedding, table, indices)


def concatenate(xs: list[Tensor], axis: int = 0) -> Tensor:
    """The arrays one after the other along an axis."""
    return apply(shape_op.concatenate, *xs, axis=axis)


def stft(x: Any, n_fft: int, hop: int, normalized: bool = False) -> Tensor:
    """x (B,T) -> y (B,To,F,2), real and imaginary parts, F = n_fft/2 + 1."""
    return apply(stft_op.stft, x, n_fft=n_fft, hop=hop, normalized=normalized)


def stft_magnitude(x: Any, n_fft: int, hop: int, normalized: bool = False) -> Tensor:
    """x (B,T) -> y (B,To,F)."""
    return apply(stft_op.stft_magnitude, x, n_fft=n_fft, hop=hop, normalized=normalized)


# Normalisation


def weight_norm(v: Any, g: Any, axis: int) -> Tensor:
    """w = g v / ‖v‖, the norm over all axes but `axis`."""
    return apply(weight_norm_op.weight_norm, v, g, axis=axis)


def layer_norm(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Tensor:
    """x (...,C), weight (C), bias (C) -> y (...,C)."""
    return apply(norm_op.layer_norm, x, weight, bias, eps=eps)


def group_norm(x: Any, weight: Any, bias: Any, groups: int = 1, eps: float = 1e-5) -> Tensor:
    """x (B,T,C), weight (C), bias (C) -> y (B,T,C)."""
    return apply(norm_op.group_norm, x, weight, bias, groups=groups, eps=eps)


# Sequences, classes, codes


def lstm(x: Any, w_ih: Any, w_hh: Any, b: Any, h0: Any = None, c0: Any = None) -> tuple[Tensor, Tensor]:
    """x (B,T,Ci), w_ih (Ci,4H), w_hh (H,4H), b (4H), h0 (B,H), c0 (B,H) -> h (B,T,H), c (B,T,H).

    The state starts at zero unless given. The last h[:, -1] and c[:, -1] are the state to go on with.
    """
    (B, _, _), H = x.shape, w_hh.shape[0]
    zeros = xp(x.data).zeros((B, H), x.dtype)
    y = apply(lstm_op.lstm, x, w_ih, w_hh, b, zeros if h0 is None else h0, zeros if c0 is None else c0)
    return y[..., :H], y[..., H:]


def softmax(x: Any) -> Tensor:
    """Over the last axis: positive, with sum 1."""
    return apply(softmax_op.softmax, x)


def cross_entropy(logits: Any, targets: Any) -> Tensor:
    """logits (...,V), targets (...) integers -> losses (...) in nats: -log softmax(logits)[target]."""
    return apply(softmax_op.softmax_cross_entropy, logits, targets)


def nearest_codeword(x: Any, codebook: Any) -> Any:
    """x (...,D), codebook (N,D) -> codes (...) integers: arrays in, an array out, since an index has no gradient."""
    forward, _ = nearest_codeword_op.nearest_codeword.pair(x, codebook)
    return forward(x, codebook)[0]


def straight_through(x: Tensor, y: Any) -> Tensor:
    """The values of y (an array, a constant), with the gradient of x: x + stop_gradient(y - x)."""
    return x + (y - x.data)


# Losses


def l1_loss(x: Any, y: Any) -> Tensor:
    """x (...), y (...) -> the mean of |x - y|, a scalar."""
    if x.shape != y.shape or _in_one(fused.l1_distance, x, y):  # the op says what it thinks of two shapes
        return apply(fused.l1_distance, x, y)
    return absolute(x - y).mean()


def mse_loss(x: Tensor, y: Any) -> Tensor:
    """Mean (x - y)²."""
    difference = x - y
    return (difference * difference).mean()
