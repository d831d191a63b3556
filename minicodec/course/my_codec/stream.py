"""Chapter 16: the same codec on sound that comes in pieces. What the past means to the future is a layer's state."""

import numpy as np

from minicodec.course.my_codec.conv import Conv1d, ConvTranspose1d, weight_norm

from minicodec.course.my_codec.conv import conv1d_forward, conv_transpose1d_forward  # isort: skip
from minicodec.course.my_codec.lstm import LSTM, lstm_step
from minicodec.course.my_codec.quantizer import residual_decode, residual_encode
from minicodec.course.my_codec.seanet import ResidualUnit
from minicodec.course.my_codec.tensor import Tensor


def conv_stream(x, before, w, stride=1, dilation=1):
    """x (n,Ci), before (m,Ci), w (K,Ci,Co) -> y (count,Co), before (m2,Ci): a convolution, one piece further."""
    frames = np.concatenate([before, x])
    count = max(0, (len(frames) - (len(w) - 1) * dilation - 1) // stride + 1)
    if count == 0:
        return np.zeros((0, w.shape[2]), x.dtype), frames
    return conv1d_forward(frames[None], w, stride=stride, dilation=dilation)[0], frames[count * stride :]


def conv_transpose_stream(x, tail, w, stride):
    """x (n,Ci), tail (K-stride,Co), w (K,Ci,Co) -> y (n*stride,Co), tail (K-stride,Co): one piece further."""
    K, n = len(w), len(x)
    frames = np.zeros((n * stride + K - stride, w.shape[2]), w.dtype)
    if n:
        frames[:] = conv_transpose1d_forward(x[None], w, stride=stride)[0]
    frames[: len(tail)] += tail
    return frames[: n * stride], frames[n * stride :]


def lstm_stream(x, state, layers):
    """x (n,H), state (a list of (h, c), (1,H) each), layers -> y (n,H), state: a stack of layers, with its skip.

    lstm_step moves each layer by a frame, with its weight_ih, weight_hh and bias.
    """
    y, newest = x, []
    for (h, c), layer in zip(state, layers, strict=True):
        out = np.zeros_like(y)
        for t in range(len(y)):
            h, c = lstm_step(y[t : t + 1], h, c, layer.weight_ih.data, layer.weight_hh.data, layer.bias.data)
            out[t] = h[0]
        y, newest = out, [*newest, (h, c)]
    return x + y, newest


class Stage:
    """A layer (elu, Conv1d, ConvTranspose1d, ResidualUnit or LSTM) that takes a sound in pieces.

    state: of a Conv1d, frames (m,Ci) for conv_stream, zeros at first, as many as causal_padding has on the left; of a
    ConvTranspose1d, the tail for conv_transpose_stream, zeros at first; of an LSTM, for lstm_stream, zeros at first; of
    a ResidualUnit, Stages of its block.
    """

    def __init__(self, layer):
        self.layer, self.state = layer, None
        if isinstance(layer, Conv1d | ConvTranspose1d):
            self.w = weight_norm(layer.weight_v, layer.weight_g, 2 if isinstance(layer, Conv1d) else 1).data
            K, Ci, Co = self.w.shape
        if isinstance(layer, Conv1d):
            self.margin = (K - 1) * layer.dilation + 1 - layer.stride
            self.state = np.zeros((self.margin, Ci), np.float32)
        elif isinstance(layer, ConvTranspose1d):
            self.state = np.zeros((K - layer.stride, Co), np.float32)
        elif isinstance(layer, LSTM):
            zeros = [np.zeros((1, len(one.weight_hh.data)), np.float32) for one in layer.layers]
            self.state = [(zero, zero) for zero in zeros]
        elif isinstance(layer, ResidualUnit):
            self.state = [Stage(one) for one in layer.block]

    def __call__(self, x, last):
        """x (n,Ci) -> y (m,Co), what is known now. last: no more comes; a Conv1d fills its last window with zeros."""
        layer = self.layer
        if isinstance(layer, Conv1d):
            if last:
                x = np.pad(x, ((0, (self.margin - len(self.state) - len(x)) % layer.stride), (0, 0)))
            y, self.state = conv_stream(x, self.state, self.w, layer.stride, layer.dilation)
            return y + layer.bias.data
        if isinstance(layer, ConvTranspose1d):
            y, self.state = conv_transpose_stream(x, self.state, self.w, layer.stride)
            return y + layer.bias.data
        if isinstance(layer, LSTM):
            y, self.state = lstm_stream(x, self.state, layer.layers)
            return y
        if isinstance(layer, ResidualUnit):
            y = x
            for stage in self.state:
                y = stage(y, last)
            return x + y
        return layer(Tensor(x)).data


class StreamEncoder:
    """Samples in, codes of the first Q levels out."""

    def __init__(self, codec, Q):
        self.stages = [Stage(layer) for layer in codec.encoder.layers]
        self.codebooks = [level.codewords for level in codec.quantizer.levels[:Q]]

    def push(self, wav, last=False):
        """wav (n) -> codes (Q,frames) that are known now. last: no more comes."""
        x = wav[:, None]
        for stage in self.stages:
            x = stage(x, last)
        return residual_encode(x, self.codebooks)


class StreamDecoder:
    """Codes in, samples out."""

    def __init__(self, codec):
        self.stages = [Stage(layer) for layer in codec.decoder.layers]
        self.codebooks = [level.codewords for level in codec.quantizer.levels]

    def push(self, codes):
        """codes (Q,frames) -> wav (frames·hop)."""
        x = residual_decode(codes, self.codebooks)
        for stage in self.stages:
            x = stage(x, False)
        return x[:, 0]
