"""Chapter 6: the encoder and the decoder."""

from minicodec.course.my_codec.conv import Conv1d, ConvTranspose1d
from minicodec.course.my_codec.lstm import LSTM
from minicodec.course.my_codec.tensor import elu, parameter


class ResidualUnit:
    """x (B,T,C) -> x + [ELU, convolution K = 3 with C -> C//2, ELU, convolution K = 1 with C//2 -> C](x).

    These four are the list `block`.
    """

    def __init__(self, C, rng, dilation=1):
        """dilation: of the first convolution."""
        self.block = [elu, Conv1d(C, C // 2, 3, rng, dilation=dilation), elu, Conv1d(C // 2, C, 1, rng)]

    def __call__(self, x):
        """x (B,T,C) -> y (B,T,C), Tensors."""
        y = x
        for layer in self.block:
            y = layer(y)
        return x + y


class Encoder:
    """Waveform (B,T,1) -> latent (B,ceil(T/hop),D), hop the product of the strides. The list `layers`, C = filters:

    convolution K = 7, 1 -> C
    for each stride: a residual unit, ELU, a convolution K = 2·stride, C -> 2·C, and C doubles
    LSTM
    ELU, convolution K = 7, C -> D
    """

    def __init__(self, filters, D, strides, lstm_layers, rng):
        C = filters
        self.layers = [Conv1d(1, C, 7, rng)]
        for stride in strides:
            self.layers += [ResidualUnit(C, rng), elu, Conv1d(C, 2 * C, 2 * stride, rng, stride=stride)]
            C *= 2
        self.layers += [LSTM(C, lstm_layers, rng), elu, Conv1d(C, D, 7, rng)]

    def __call__(self, x):
        """x (B,T,1) -> z (B,ceil(T/hop),D), Tensors."""
        for layer in self.layers:
            x = layer(x)
        return x


class Decoder:
    """Latent (B,T,D) -> waveform (B,T·hop,1): the encoder backwards. The list `layers`, C = filters · 2^(strides):

    convolution K = 7, D -> C
    LSTM
    for each stride, the last first: ELU, a transposed convolution K = 2·stride, C -> C//2, a residual unit; C halves
    ELU, convolution K = 7, C -> 1, with lengths (weight_g) of 0.1: sound has an RMS of about 0.1
    """

    def __init__(self, filters, D, strides, lstm_layers, rng):
        C = filters * 2 ** len(strides)
        self.layers = [Conv1d(D, C, 7, rng), LSTM(C, lstm_layers, rng)]
        for stride in reversed(strides):
            self.layers += [elu, ConvTranspose1d(C, C // 2, 2 * stride, rng, stride=stride), ResidualUnit(C // 2, rng)]
            C //= 2
        self.layers += [elu, Conv1d(C, 1, 7, rng)]
        self.layers[-1].weight_g = parameter([[[0.1]]])

    def __call__(self, z):
        """z (B,T,D) -> x (B,T·hop,1), Tensors."""
        for layer in self.layers:
            z = layer(z)
        return z
