"""Chapter 9: a codec that begins as a transform codec, and learns from there. Its networks are the chapter's functions
as layers, with residual units in between.
"""

from functools import partial

import numpy as np

from minicodec.course.my_codec.conv import Conv1d, causal_conv1d, weight_norm
from minicodec.course.my_codec.quantizer import Codec, Quantizer, nearest_codeword_forward
from minicodec.course.my_codec.seanet import Decoder, Encoder, ResidualUnit
from minicodec.course.my_codec.tensor import Tensor, parameter


def mdct_basis(N):
    """N -> w (2N,N): what sample n of a window contributes to frequency k.

    w[n,k] = sqrt(2/N) · sin(π (n + ½) / 2N) · cos(π/N · (n + ½ + N/2) · (k + ½))
    """
    n, k = np.arange(2 * N)[:, None] + 0.5, np.arange(N) + 0.5
    return np.sqrt(2 / N) * np.sin(np.pi * n / (2 * N)) * np.cos(np.pi / N * (n + N / 2) * k)


def mdct(x, w):
    """x (B,T), w (2N,N) -> X (B,Tz,N), Tz = ceil(T/N).

    Frame t is samples t·N ... t·N + 2N - 1, times w. Zeros stand after the end of x.
    """
    N = w.shape[1]
    hops = np.pad(x, ((0, 0), (0, -x.shape[1] % N + N))).reshape(len(x), -1, N)
    return hops[:, :-1] @ w[:N] + hops[:, 1:] @ w[N:]


def inverse_mdct(X, w):
    """X (B,Tz,N), w (2N,N) -> x (B,To), To = Tz·N: the transpose, overlapped and added.

    Frame t adds w X[b,t] to samples t·N ... t·N + 2N - 1. What lies beyond the end is cut off.
    """
    N = w.shape[1]
    hops, second = X @ w[:N].T, X @ w[N:].T
    hops[:, 1:] += second[:, :-1]
    return hops.reshape(len(X), -1)


def companding_forward(x, *, power, smoothing):
    """x (*x) -> y (*x), y = x (x² + s²)^((p - 1)/2)."""
    return x * (x * x + smoothing**2) ** ((power - 1) / 2)


def companding_backward(dy, saved, *, power, smoothing):
    """dy (*x), saved: x, x² + s² and (x² + s²)^((p - 1)/2), (*x) each -> dx (*x)."""
    x, square, factor = saved
    return dy * (power * x * x + smoothing**2) / square * factor


def companding(x, power, smoothing):
    """x (*x), a Tensor -> y (*x), a Tensor: companding_forward.

    companding_backward sends gradients back.
    """
    square = x.data**2 + smoothing**2
    saved = (x.data, square, square ** ((power - 1) / 2))
    y = companding_forward(x.data, power=power, smoothing=smoothing)
    return Tensor(y, (x,), lambda dy: (companding_backward(dy, saved, power=power, smoothing=smoothing),))


def principal_components(x, D):
    """x (n,N), D -> c (N,D): its columns are D eigenvectors of xᵀx (N,N).

    They are those with the largest eigenvalues. No mean is removed.
    """
    _, vectors = np.linalg.eigh(x.T @ x)
    return vectors[:, -D:]


class MDCT:
    """mdct as a layer. weight (2N,1,N) and bias (N), of zeros, are not trained."""

    def __init__(self, N):
        self.weight, self.bias = Tensor(np.float32(mdct_basis(N))[:, None]), Tensor(np.zeros(N, np.float32))

    def __call__(self, x):
        """x (B,T,1) -> X (B,ceil(T/N),N), Tensors. No gradient goes back: a recording needs none."""
        return Tensor(mdct(x.data[..., 0], self.weight.data[:, 0]))


class InverseMDCT:
    """inverse_mdct as a layer. weight (2N,N,1) and bias (1), a zero, are not trained."""

    def __init__(self, N):
        self.weight, self.bias = Tensor(np.float32(mdct_basis(N))[..., None]), Tensor(np.zeros(1, np.float32))

    def __call__(self, X):
        """X (B,T,N) -> x (B,T·N,1), Tensors."""
        return Tensor(inverse_mdct(X.data, self.weight.data[..., 0])[..., None], (X,), self.send_back)

    def send_back(self, dx):
        """dx (B,T·N,1) -> (dX,): of a transpose, the gradient goes through the transform itself."""
        return (mdct(dx[..., 0], self.weight.data[..., 0]),)


def noise_signs(frames, N, first):
    """frames, N, first -> (frames,N) whole numbers: 1 for frequencies below `first`, from there on 1 or -1 by a hash.

    The hash of frequency k in frame t begins as h = t·N + k, of 32 bits: what exceeds them is lost. Three times it
    becomes (h xor h >> shift) · factor: 16 and 0x85EBCA6B, 13 and 0xC2B2AE35, 16 and 1. Its last bit says the sign: 0
    for 1, 1 for -1.
    """
    h = np.arange(frames * N, dtype=np.uint32).reshape(frames, N)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        h = (h ^ (h >> np.uint32(shift))) * np.uint32(factor)
    signs = 1 - 2 * (h & np.uint32(1)).astype(np.int8)
    signs[:, :first] = 1
    return signs


def with_noise_signs(x, first):
    """x (B,T,N), a Tensor -> y (B,T,N), a Tensor: each item times noise_signs.

    Gradients go back the same way.
    """
    signs = noise_signs(*x.data.shape[1:], first)
    return Tensor(x.data * signs, (x,), lambda dy: (dy * signs,))


class PlainConv1d(Conv1d):
    """A Conv1d without weight norm, as minicodec has them here: parameters weight (K,Ci,Co) and bias (Co)."""

    def __init__(self, conv):
        """From a Conv1d. weight: its weights."""
        self.stride, self.dilation, self.bias = conv.stride, conv.dilation, conv.bias
        self.weight = parameter(weight_norm(conv.weight_v, conv.weight_g, 2).data)

    def __call__(self, x):
        """x (B,T,Ci) -> y (B,ceil(T/stride),Co), Tensors."""
        return causal_conv1d(x, self.weight, self.stride, self.dilation) + self.bias


def units(C, dilations, rng):
    """C, dilations -> a list of ResidualUnits without weight norm, which begin as almost nothing."""
    made = [ResidualUnit(C, rng, dilation=dilation) for dilation in dilations]
    for unit in made:
        unit.block = [PlainConv1d(layer) if isinstance(layer, Conv1d) else layer for layer in unit.block]
        unit.block[-1].weight.data *= np.float32(0.1)
    return made


class TransformEncoder(Encoder):
    """Waveform (B,T,1) -> latent (B,ceil(T/N),D). It calls its `layers` in turn, as the Encoder of chapter 6 does.

    net: a dict with hop (N), latent (D), power and smoothing of the companding, encoder: dilations of the units.
    """

    def __init__(self, net, rng):
        N = net["hop"]
        squeeze = partial(companding, power=net["power"], smoothing=net["smoothing"])
        self.layers = [MDCT(N), squeeze, *units(N, net["encoder"], rng)]
        self.layers.append(PlainConv1d(Conv1d(N, net["latent"], 1, rng)))


class TransformDecoder(Decoder):
    """Latent (B,T,D) -> waveform (B,T·N,1): the encoder backwards. net: as there; decoder: dilations of the units."""

    def __init__(self, net, rng):
        N, p = net["hop"], net["power"]
        self.layers = [PlainConv1d(Conv1d(net["latent"], N, 1, rng)), *units(N, net["decoder"], rng)]
        stretch = partial(companding, power=1 / p, smoothing=net["smoothing"] ** p)  # the two slopes at 0 cancel
        if first := net.get("noise_from", 0):
            self.layers += [lambda x: with_noise_signs(stretch(x), first), InverseMDCT(N)]
        else:
            self.layers += [stretch, InverseMDCT(N)]


class TransformCodec(Codec):
    """A Codec with these networks: of config["transform"] in place of config["seanet"]."""

    def __init__(self, config, rng):
        net, book = config["transform"], config["quantizer"]
        self.config = config
        self.encoder, self.decoder = TransformEncoder(net, rng), TransformDecoder(net, rng)
        self.quantizer = Quantizer(book["levels"], book["entries"], net["latent"])


def start(codec, x, batch, rng):
    """Begin a TransformCodec where chapter 9 ends, with what x (B,T,1) says: gains, components, codebooks.

    batch: how many vectors a step of the training will bring; the codebooks count as if x had come in such.
    """
    net, (first, *_, down), (up, *_, last) = codec.config["transform"], codec.encoder.layers, codec.decoder.layers
    std = np.sqrt((first(Tensor(x)).data.astype(float) ** 2).mean(axis=(0, 1)))
    gain = np.maximum(std, 1e-5) ** (net["power"] - 1)  # a frequency may be silent
    gain = np.float32(gain / np.sqrt(((std * gain) ** 2).mean()))
    first.weight.data = first.weight.data * gain
    last.weight.data = last.weight.data / gain[:, None]

    y = Tensor(x)
    for layer in codec.encoder.layers[:-1]:
        y = layer(y)
    y = y.data.reshape(-1, net["hop"])
    c = principal_components(y, net["latent"])
    down.weight.data, up.weight.data = c[None].copy(), c.T[None].copy()

    residual = y @ c
    for level in codec.quantizer.levels:
        level.start(residual, batch / len(residual), rng)
        residual = residual - level.codewords[nearest_codeword_forward(residual, level.codewords)]
        codec.quantizer.ready += 1
