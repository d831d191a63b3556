"""Chapter 11: networks that learn to tell recordings from decodings, and what the decoder learns from them."""

import numpy as np

from minicodec.course.my_codec.conv import weight_norm
from minicodec.course.my_codec.losses import stft
from minicodec.course.my_codec.tensor import Tensor, parameter


def conv2d_forward(x, w, *, stride=(1, 1), dilation=(1, 1), padding=(0, 0)):
    """x (B,T,F,Ci), w (Kt,Kf,Ci,Co) -> y (B,To,Fo,Co)."""
    (st, sf), (dt, df), (pt, pf) = stride, dilation, padding
    x = np.pad(x, ((0, 0), (pt, pt), (pf, pf), (0, 0)))
    To, Fo = ((x.shape[i + 1] - (w.shape[i] - 1) * dilation[i] - 1) // stride[i] + 1 for i in (0, 1))
    y = np.zeros((len(x), To, Fo, w.shape[3]), x.dtype)
    for k in range(w.shape[0]):
        for m in range(w.shape[1]):
            y += x[:, k * dt :: st, m * df :: sf][:, :To, :Fo] @ w[k, m]
    return y


def conv2d_backward(dy, saved, *, stride=(1, 1), dilation=(1, 1), padding=(0, 0)):
    """dy (B,To,Fo,Co) -> dx (B,T,F,Ci), dw (Kt,Kf,Ci,Co). saved: (x with its padding, w)."""
    padded, w = saved
    (st, sf), (dt, df), (pt, pf) = stride, dilation, padding
    dpadded, dw = np.zeros_like(padded), np.zeros_like(w)
    To, Fo = dy.shape[1:3]
    for k in range(w.shape[0]):
        for m in range(w.shape[1]):
            rows = slice(k * dt, k * dt + (To - 1) * st + 1, st)
            columns = slice(m * df, m * df + (Fo - 1) * sf + 1, sf)
            dpadded[:, rows, columns] += dy @ w[k, m].T
            dw[k, m] = np.tensordot(padded[:, rows, columns], dy, axes=((0, 1, 2), (0, 1, 2)))
    return dpadded[:, pt : padded.shape[1] - pt, pf : padded.shape[2] - pf], dw


def hinge_backward(real, fake):
    """real (*r), fake (*f) -> dreal (*r), dfake (*f), of mean max(0, 1 - real) + mean max(0, 1 + fake)."""
    return np.where(real < 1, -1 / real.size, 0.0), np.where(fake > -1, 1 / fake.size, 0.0)


def feature_matching(real, fake):
    """real (a list of arrays, one a layer), fake (alike) -> loss, a number: the mean of mean |r - f| / mean |r|."""
    return float(np.mean([np.abs(r - f).mean() / np.abs(r).mean() for r, f in zip(real, fake, strict=True)]))


def conv2d(x, w, stride=(1, 1), dilation=(1, 1)):
    """x (B,T,F,Ci), w (Kt,Kf,Ci,Co), Tensors, K odd -> y (B,ceil(T/st),ceil(F/sf),Co), a Tensor.

    (K - 1)·dilation // 2 zeros stand on each side. conv2d_backward sends gradients back.
    """
    pt, pf = ((w.data.shape[i] - 1) * dilation[i] // 2 for i in (0, 1))
    options = {"stride": stride, "dilation": dilation, "padding": (pt, pf)}
    y = conv2d_forward(x.data, w.data, **options)
    padded = np.pad(x.data, ((0, 0), (pt, pt), (pf, pf), (0, 0)))
    return Tensor(y, (x, w), lambda dy: conv2d_backward(dy, (padded, w.data), **options))


def leaky_relu(x):
    """x (a Tensor) -> y, a Tensor: x where x > 0, 0.2·x elsewhere."""
    slope = np.where(x.data > 0, 1, 0.2).astype(x.data.dtype)
    return x * slope


class Conv2d:
    """A convolution K = (Kt,Kf), Ci -> Co, with LeakyReLU unless it is the last: parameters weight_v (Kt,Kf,Ci,Co),
    weight_g (1,1,1,Co), the length of each output channel's weights, and bias (Co).
    """

    def __init__(self, Ci, Co, K, rng, stride=(1, 1), dilation=(1, 1), last=False):
        """weight_v: normal random numbers of rng; weight_g: all sqrt(2 / 1.04), for LeakyReLU's sake; bias: zeros."""
        self.stride, self.dilation, self.last = stride, dilation, last
        self.weight_v = parameter(rng.normal(size=(*K, Ci, Co)))
        self.weight_g = parameter(np.full((1, 1, 1, Co), np.sqrt(2 / 1.04)))
        self.bias = parameter(np.zeros(Co))

    def __call__(self, x):
        """x (B,T,F,Ci) -> y (B,ceil(T/st),ceil(F/sf),Co), Tensors."""
        y = conv2d(x, weight_norm(self.weight_v, self.weight_g, axis=3), self.stride, self.dilation) + self.bias
        return y if self.last else leaky_relu(y)


class Judge:
    """A discriminator at one scale: an STFT with windows of n_fft samples, and six convolutions, the list `convs`:

    3x9, 2 -> C
    three times 3x9, C -> C, stride 2 in frequency, dilation 1, 2 and 4 in time
    3x3, C -> C
    3x3, C -> 1, without LeakyReLU: the logits
    """

    def __init__(self, n_fft, C, rng):
        self.n_fft = n_fft
        self.convs = [Conv2d(2, C, (3, 9), rng)]
        self.convs += [Conv2d(C, C, (3, 9), rng, stride=(1, 2), dilation=(d, 1)) for d in (1, 2, 4)]
        self.convs += [Conv2d(C, C, (3, 3), rng), Conv2d(C, 1, (3, 3), rng, last=True)]

    def __call__(self, x):
        """x (B,T,1), a Tensor -> logits (B,To,F',1), a Tensor, and the five feature maps, a list of Tensors."""
        maps = [stft(x, self.n_fft)]
        for conv in self.convs:
            maps.append(conv(maps[-1]))
        return maps[-1], maps[1:-1]


def discriminator_loss(real, fake):
    """real, fake: lists of logits, Tensors, one for each scale -> a Tensor of one number: the mean over the scales of

    mean max(0, 1 - real) + mean max(0, 1 + fake). hinge_backward sends gradients back.
    """
    losses = []
    for r, f in zip(real, fake, strict=True):
        value = np.maximum(0, 1 - r.data).mean() + np.maximum(0, 1 + f.data).mean()
        both = hinge_backward(r.data, f.data)
        losses.append(Tensor(value, (r, f), lambda dl, both=both: (dl * both[0], dl * both[1])))
    return sum(losses[1:], losses[0]) * (1 / len(losses))


def adversarial_loss(fake):
    """fake: a list of logits, Tensors, one for each scale -> a Tensor of one number: the mean of mean max(0, 1 - fake).

    Its gradient is the first of hinge_backward's.
    """
    losses = []
    for f in fake:
        df, _ = hinge_backward(f.data, f.data)
        losses.append(Tensor(np.maximum(0, 1 - f.data).mean(), (f,), lambda dl, df=df: (dl * df,)))
    return sum(losses[1:], losses[0]) * (1 / len(losses))


def feature_loss(real, fake):
    """real (a list of arrays, one a layer), fake (a list of Tensors) -> a Tensor of one number, their feature_matching.

    Where entries are equal, the slope is 0.
    """

    def send_back(dl):
        share = dl / len(fake)
        return [share * np.sign(f.data - r) / (r.size * np.abs(r).mean()) for r, f in zip(real, fake, strict=True)]

    return Tensor(feature_matching(real, [f.data for f in fake]), fake, send_back)
