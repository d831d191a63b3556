"""The rival's networks: encoder, decoder and discriminator in PyTorch, written as one would who wants speed.

Weight norm is fused in training and folded into the weights for inference; streams keep a tail instead of computing
twice. Names of parameters are minicodec's, so that its weights can be loaded and gradients compared; shapes are
PyTorch's, (B,C,T) and (Co,Ci,K).
"""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minicodec.codec.seanet import SEANetConfig
from minicodec.training.discriminator import DILATIONS, SLOPE

# Layers


class Normed(nn.Module):
    """A weight in minicodec's two parts, g v / ‖v‖, or as it is."""

    axes: tuple[int, ...]  # of a weight in PyTorch, as numbers of its axes in minicodec

    def __init__(self, shape: tuple[int, ...], Co: int, norm: bool = True):
        super().__init__()
        if norm:
            self.weight_g = nn.Parameter(torch.empty(shape[0], *[1] * (len(shape) - 1)))
            self.weight_v = nn.Parameter(torch.empty(shape))
        else:
            self.weight = nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.empty(Co))
        self.folded: Tensor | None = None

    def w(self) -> Tensor:
        """The weight to multiply with."""
        if hasattr(self, "weight"):
            return self.weight
        return torch._weight_norm(self.weight_v, self.weight_g, 0) if self.folded is None else self.folded


class Conv(Normed):
    """Causal: x (B,Ci,T) -> (B,Co,T/stride), T a multiple of the stride. `live`: x continues what came before."""

    axes = (2, 1, 0)

    def __init__(self, Ci: int, Co: int, K: int, pad_mode: str, stride: int = 1, dilation: int = 1):
        super().__init__((Co, Ci, K), Co)
        self.stride, self.dilation, self.margin = stride, dilation, (K - 1) * dilation + 1 - stride
        self.pad_mode = {"zero": "constant"}.get(pad_mode, pad_mode)
        self.tail = torch.zeros(1, Ci, self.margin)

    def forward(self, x: Tensor, live: bool = False) -> Tensor:
        if live and self.margin:
            x = torch.cat([self.tail, x], dim=2)
            self.tail = x[:, :, -self.margin :]
        elif self.margin:
            x = F.pad(x, (self.margin, 0), mode=self.pad_mode)
        return F.conv1d(x, self.w(), self.bias, stride=self.stride, dilation=self.dilation)


class ConvTranspose(Normed):
    """Causal, K = 2 stride: x (B,Ci,T) -> (B,Co,T·stride)."""

    axes = (1, 2, 0)

    def __init__(self, Ci: int, Co: int, stride: int):
        super().__init__((Ci, Co, 2 * stride), Co)
        self.stride = stride
        self.tail = torch.zeros(1, Co, stride)

    def forward(self, x: Tensor, live: bool = False) -> Tensor:
        if not live:
            return F.conv_transpose1d(x, self.w(), self.bias, stride=self.stride)[:, :, : -self.stride]
        y = F.conv_transpose1d(x, self.w(), stride=self.stride)
        y[:, :, : self.stride] += self.tail
        self.tail = y[:, :, -self.stride :]
        return y[:, :, : -self.stride] + self.bias[:, None]


class LSTM(nn.Module):
    """With a skip: x (B,H,T) -> (B,H,T)."""

    def __init__(self, H: int, layers: int):
        super().__init__()
        self.lstm = nn.LSTM(H, H, layers)
        self.state: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor, live: bool = False) -> Tensor:
        x = x.permute(2, 0, 1)
        y, state = self.lstm(x, self.state if live else None)
        if live:
            self.state = state
        return (y + x).permute(1, 2, 0)


class ELU(nn.Module):
    """As a layer."""

    def forward(self, x: Tensor, live: bool = False) -> Tensor:
        return F.elu(x)


class Chain(nn.Module):
    """Layers one after the other."""

    def __init__(self, layers: list[nn.Module]):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, live: bool = False) -> Tensor:
        for layer in self.layers:
            x = layer(x, live)
        return x


class ResidualUnit(nn.Module):
    """x (B,C,T) -> shortcut(x) + block(x)."""

    def __init__(self, C: int, config: SEANetConfig, dilation: int):
        super().__init__()
        first = Conv(C, C // 2, config.residual_kernel, config.pad_mode, dilation=dilation)
        self.block = nn.ModuleList([ELU(), first, ELU(), Conv(C // 2, C, 1, config.pad_mode)])
        self.shortcut = Conv(C, C, 1, config.pad_mode) if config.shortcut == "conv" else None

    def forward(self, x: Tensor, live: bool = False) -> Tensor:
        y = x
        for layer in self.block:
            y = layer(y, live)
        return y + (x if self.shortcut is None else self.shortcut(x, live))


def seanet(config: SEANetConfig) -> tuple[Chain, Chain]:
    """Encoder (B,1,T) -> (B,D,T/hop), and decoder."""
    C, pad = config.filters, config.pad_mode
    down: list[nn.Module] = [Conv(1, C, config.kernel, pad)]
    for stride in config.strides:
        down += [ResidualUnit(C, config, 2**i) for i in range(config.residual_units)]
        down += [ELU(), Conv(C, 2 * C, 2 * stride, pad, stride)]
        C *= 2
    down += [LSTM(C, config.lstm_layers), ELU(), Conv(C, config.latent, config.kernel, pad)]
    up: list[nn.Module] = [Conv(config.latent, C, config.kernel, pad), LSTM(C, config.lstm_layers)]
    for stride in reversed(config.strides):
        up += [ELU(), ConvTranspose(C, C // 2, stride)]
        C //= 2
        up += [ResidualUnit(C, config, 2**i) for i in range(config.residual_units)]
    return Chain(down), Chain([*up, ELU(), Conv(C, 1, config.kernel, pad)])


class Conv2d(Normed):
    """x (B,Ci,T,F) -> (B,Co,T,F/stride)."""

    axes = (3, 2, 0, 1)

    def __init__(self, Ci: int, Co: int, K: tuple[int, int], stride: int = 1, dilation: int = 1, norm: bool = True):
        super().__init__((Co, Ci, *K), Co, norm)
        self.stride, self.dilation = (1, stride), (dilation, 1)
        self.padding = ((K[0] - 1) * dilation // 2, (K[1] - 1) // 2)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.w(), self.bias, self.stride, self.padding, self.dilation)


class STFTDiscriminator(nn.Module):
    """One scale: x (B,T) -> logits, feature maps."""

    def __init__(self, n_fft: int, C: int):
        super().__init__()
        self.n_fft, self.window = n_fft, torch.hann_window(n_fft)
        middle = [Conv2d(C, C, (3, 9), 2, d) for d in DILATIONS]
        self.convs = nn.ModuleList([Conv2d(2, C, (3, 9), norm=False), *middle, Conv2d(C, C, (3, 3))])
        self.conv_post = Conv2d(C, 1, (3, 3))

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        spectrum = torch.stft(x, self.n_fft, self.n_fft // 4, window=self.window, center=False, return_complex=True)
        y = torch.view_as_real(spectrum / self.window.pow(2).sum().sqrt()).permute(0, 3, 2, 1)
        features = []
        for conv in self.convs:
            y = F.leaky_relu(conv(y), SLOPE)
            features.append(y)
        return self.conv_post(y), features


class Discriminator(nn.Module):
    """x (B,1,T) -> the logits and the feature maps of every scale."""

    def __init__(self, n_ffts: tuple[int, ...], filters: int):
        super().__init__()
        self.scales = nn.ModuleList([STFTDiscriminator(n_fft, filters) for n_fft in n_ffts])

    def forward(self, x: Tensor) -> tuple[list[Tensor], list[list[Tensor]]]:
        logits, features = zip(*(scale(x[:, 0]) for scale in self.scales), strict=True)
        return list(logits), list(features)


# Weights and gradients, from minicodec and back


def tensor(array: np.ndarray) -> Tensor:
    """On the device that is in use."""
    return torch.from_numpy(array).to(torch.get_default_device())


def load(network: nn.Module, weights: Mapping[str, np.ndarray]) -> None:
    """Take over minicodec's weights, by name. KeyError: it has no such parameter."""
    with torch.no_grad():
        for name, axes, p in translated(network):
            p.copy_(torch.from_numpy(np.ascontiguousarray(weights[name].transpose(axes))))
        for name, p in network.named_parameters():
            if "bias_hh" in name:  # minicodec has one bias, PyTorch the sum of two
                p.zero_().requires_grad_(False)


def gradients(network: nn.Module) -> dict[str, np.ndarray]:
    """All gradients, in minicodec's names and shapes."""
    grads = {name: (axes, p.grad) for name, axes, p in translated(network) if p.grad is not None}
    return {name: g.numpy(force=True).transpose(np.argsort(axes)) for name, (axes, g) in grads.items()}


def parameters(network: nn.Module) -> dict[str, np.ndarray]:
    """The same of the parameters themselves."""
    return {name: p.numpy(force=True).copy().transpose(np.argsort(axes)) for name, axes, p in translated(network)}


def fold(network: nn.Module) -> None:
    """Compute what weight norm makes of the weights once and for all, for inference."""
    for module in network.modules():
        if isinstance(module, Normed):
            module.folded = module.w().detach()


def translated(network: nn.Module) -> Iterator[tuple[str, tuple[int, ...], nn.Parameter]]:
    """For every parameter minicodec's name, the axes of minicodec's array in PyTorch's order, and the parameter."""
    for prefix, module in network.named_modules():
        for name, p in module.named_parameters(prefix, recurse=False):
            if isinstance(module, nn.LSTM):  # "lstm.weight_ih_l1" is "layers.1.weight_ih", "lstm.bias_ih_l1" the bias
                path, _, layer = name.rpartition("_l")
                kind = path.rpartition(".")[2]
                if kind != "bias_hh":
                    part = "bias" if kind == "bias_ih" else kind
                    yield f"{prefix.removesuffix('lstm')}layers.{layer}.{part}", (1, 0) if p.ndim == 2 else (0,), p
            else:
                yield name, module.axes if p.ndim > 1 else (0,), p
