"""Weight normalisation [Salimans16, "Weight Normalization", eq. 2]: a weight's length and direction, learnt apart.

    w = g · v / ‖v‖

with one length g for each entry of `axis`, and the norm over all other axes. In EnCodec's checkpoints that axis is the
first of PyTorch's weights. In our layout, a conv weight (K,Ci,Co) has axis 2, its output channels, and a transposed
conv weight (K,Ci,Co) has axis 1: PyTorch keeps the input channels of that one in front.
"""

from minicodec.backend import Op, xp


def all_but(v, g, axis):
    """The axes of v that are summed over. ValueError: g has not the shape of v with 1 everywhere but at `axis`."""
    others = tuple(i for i in range(v.ndim) if i != axis % v.ndim)
    if g.shape != tuple(1 if i in others else n for i, n in enumerate(v.shape)):
        raise ValueError(f"weight_norm: g has shape {g.shape}, which does not fit v {v.shape} and axis {axis}")
    return others


def weight_norm_forward(v, g, *, axis):
    """v (*v), g (*g) -> w (*v); g has the shape of v with 1 everywhere but at `axis`."""
    others = all_but(v, g, axis)
    length = xp(v).sqrt((v * v).sum(axis=others, keepdims=True))
    direction = v / length
    return g * direction, (direction, length, g, others)


def weight_norm_backward(dw, saved, *, axis):
    """dw (*v) -> dv (*v), dg (*g).

    The length g moves w along its direction. Moving v along its own direction changes nothing, so that part of dw
    is taken out; what is left turns w by less, the longer v is.
    """
    direction, length, g, others = saved
    dg = (dw * direction).sum(axis=others, keepdims=True)
    return g / length * (dw - dg * direction), dg


weight_norm = Op("weight_norm", weight_norm_forward, weight_norm_backward)
