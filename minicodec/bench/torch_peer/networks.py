"""The rival's networks: minicodec's encoder, decoder and discriminator in PyTorch, written for speed.

Each is made of minicodec's own network and takes over its weights. Names stay minicodec's, so that gradients can be
compared; shapes are PyTorch's, (B,C,T) and (Co,Ci,K). Weight norm is fused in training and folded into the weights for
inference. Streams keep a tail instead of computing twice.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minicodec.codec import seanet
from minicodec.nn import layers
from minicodec.training.discriminator import SLOPE, MultiScaleSTFTDiscriminator, STFTDiscriminator


def rival(ours: Any) -> Any:
    """The same network, or layer, in PyTorch."""
    return RIVALS[type(ours)](ours)


def tensor(array: np.ndarray) -> Tensor:
    """A copy on the device that is in use."""
    return torch.tensor(np.ascontiguousarray(array))


class Convolution(nn.Module):
    """What the convolutions share: a weight in minicodec's two parts, g v / ‖v‖, or as it is; and a bias."""

    axes: tuple[int, ...]  # of a weight in PyTorch, as numbers of its axes in minicodec
    weight: Tensor
    weight_g: Tensor
    weight_v: Tensor
    bias: Tensor
    folded: Tensor | None = None  # the weight that weight norm makes of its parts, if that is done once and for all

    def __init__(self, ours: Any):
        super().__init__()
        for name, p in ours.named_parameters():
            self.register_parameter(name, nn.Parameter(tensor(p.data.transpose(self.axes) if p.ndim > 1 else p.data)))
        self.stride, self.dilation = ours.stride, getattr(ours, "dilation", 1)

    def w(self) -> Tensor:
        """The weight to multiply with."""
        if hasattr(self, "weight"):
            return self.weight
        return torch._weight_norm(self.weight_v, self.weight_g, 0) if self.folded is None else self.folded


class Conv(Convolution):
    """Causal: x (B,Ci,T) -> (B,Co,T/stride), T a multiple of the stride. `live`: x continues what came before."""

    axes = (2, 1, 0)

    def __init__(self, ours: layers.Conv1d):
        super().__init__(ours)
        self.margin = (ours.K - 1) * ours.dilation + 1 - ours.stride
        self.pad_mode = {"zero": "constant"}.get(ours.pad_mode, ours.pad_mode)
        self.tail = torch.zeros(1, self.w().shape[1], self.margin)

    def forward(self, x: Tensor, live: bool = False) -> Tensor:
        if live and self.margin:
            x = torch.cat([self.tail, x], dim=2)
            self.tail = x[:, :, -self.margin :]
        elif self.margin:
            x = F.pad(x, (self.margin, 0), mode=self.pad_mode)
        return F.conv1d(x, self.w(), self.bias, stride=self.stride, dilation=self.dilation)


class ConvTranspose(Convolution):
    """Causal, K = 2 stride: x (B,Ci,T) -> (B,Co,T·stride)."""

    axes = (1, 2, 0)

    def __init__(self, ours: layers.ConvTranspose1d):
        super().__init__(ours)
        self.tail = torch.zeros(1, self.w().shape[1], self.stride)

    def forward(self, x: Tensor, live: bool = False) -> Tensor:
        if not live:
            return F.conv_transpose1d(x, self.w(), self.bias, stride=self.stride)[:, :, : -self.stride]
        y = F.conv_transpose1d(x, self.w(), stride=self.stride)
        y[:, :, : self.stride] += self.tail
        self.tail = y[:, :, -self.stride :]
        return y[:, :, : -self.stride] + self.bias[:, None]


class LSTM(nn.Module):
    """With a skip: x (B,H,T) -> (B,H,T)."""

    def __init__(self, ours: layers.LSTM):
        super().__init__()
        self.lstm = nn.LSTM(ours.H, ours.H, ours.depth)
        self.state: tuple[Tensor, Tensor] | None = None
        weights = ours.state_dict()
        with torch.no_grad():
            for name, p in self.lstm.named_parameters():
                if "bias_hh" in name:  # minicodec has one bias, PyTorch the sum of two
                    p.zero_().requires_grad_(False)
                else:
                    p.copy_(torch.from_numpy(weights[lstm_name(name)].T))

    def forward(self, x: Tensor, live: bool = False) -> Tensor:
        x = x.permute(2, 0, 1)
        y, state = self.lstm(x, self.state if live else None)
        if live:
            self.state = state
        return (y + x).permute(1, 2, 0)


class Encode(nn.Module):
    """All of encoding: x (1,1,T) -> codes (Q,frames)."""

    codebooks: Tensor

    def __init__(self, network: Any, codebooks: Tensor):
        super().__init__()
        self.network: Any = network
        self.register_buffer("codebooks", codebooks)

    def forward(self, x: Tensor, live: bool = False) -> Tensor:
        z, chosen = self.network(x, live)[0].T, []
        for codebook in self.codebooks.unbind():
            chosen.append(nearest(z, codebook))
            z = z - codebook[chosen[-1]]
        return torch.stack(chosen)


def nearest(x: Tensor, codebook: Tensor) -> Tensor:
    """x (n,D), codebook (N,D) -> codes (n)."""
    return torch.addmm(codebook.pow(2).sum(1), x, codebook.T, alpha=-2).argmin(1)


class Decode(nn.Module):
    """All of decoding: codes (Q,frames) -> (1,1,T)."""

    codebooks: Tensor

    def __init__(self, network: Any, codebooks: Tensor):
        super().__init__()
        self.network: Any = network
        self.register_buffer("codebooks", codebooks)

    def forward(self, codes: Tensor, live: bool = False) -> Tensor:
        z = self.codebooks[0][codes[0]]
        for codebook, level in zip(self.codebooks.unbind()[1:], codes.unbind()[1:], strict=True):
            z = z + codebook[level]
        return self.network(z.T[None], live)


def lstm_name(theirs: str) -> str:
    """minicodec's name of an LSTM's parameter: "weight_ih_l1" is "layers.1.weight_ih", "bias_ih_l1" "layers.1.bias"."""
    name, _, layer = theirs.rpartition("_l")
    return f"layers.{layer}.{name.replace('bias_ih', 'bias')}"


class ELU(nn.Module):
    """As a layer."""

    def __init__(self, ours: seanet.ELU):
        super().__init__()

    def forward(self, x: Tensor, live: bool = False) -> Tensor:
        return F.elu(x)


class Chain(nn.Module):
    """Encoder (B,1,T) -> (B,D,T/hop), or decoder: layers one after the other."""

    def __init__(self, ours: seanet.Encoder | seanet.Decoder):
        super().__init__()
        self.layers = nn.ModuleList(map(rival, ours.layers))

    def forward(self, x: Tensor, live: bool = False) -> Tensor:
        for layer in self.layers:
            x = layer(x, live)
        return x

    def fold(self) -> "Chain":
        """Compute what weight norm makes of the weights once and for all, for inference."""
        for module in self.modules():
            if isinstance(module, Convolution):
                module.folded = module.w().detach()
        return self


class ResidualUnit(nn.Module):
    """x (B,C,T) -> shortcut(x) + block(x)."""

    def __init__(self, ours: seanet.ResidualUnit):
        super().__init__()
        self.block = nn.ModuleList(map(rival, ours.block))
        self.shortcut = None if ours.shortcut is None else rival(ours.shortcut)

    def forward(self, x: Tensor, live: bool = False) -> Tensor:
        y = x
        for layer in self.block:
            y = layer(y, live)
        return y + (x if self.shortcut is None else self.shortcut(x, live))


class Conv2d(Convolution):
    """x (B,Ci,T,F) -> (B,Co,T,F/stride)."""

    axes = (3, 2, 0, 1)

    def __init__(self, ours: layers.Conv2d):
        super().__init__(ours)
        self.padding = ours.padding

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.w(), self.bias, self.stride, self.padding, self.dilation)


class Scale(nn.Module):
    """One scale of the discriminator: x (B,T) -> logits, feature maps."""

    def __init__(self, ours: STFTDiscriminator):
        super().__init__()
        self.n_fft, self.window = ours.n_fft, torch.hann_window(ours.n_fft)
        self.convs, self.conv_post = nn.ModuleList(map(rival, ours.convs)), rival(ours.conv_post)

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

    def __init__(self, ours: MultiScaleSTFTDiscriminator):
        super().__init__()
        self.scales = nn.ModuleList(map(rival, ours.scales))

    def forward(self, x: Tensor) -> tuple[list[Tensor], list[list[Tensor]]]:
        logits, features = zip(*(scale(x[:, 0]) for scale in self.scales), strict=True)
        return list(logits), list(features)


RIVALS: dict[type, type[nn.Module]] = {
    layers.Conv1d: Conv, layers.ConvTranspose1d: ConvTranspose, layers.Conv2d: Conv2d, layers.LSTM: LSTM,
    seanet.ELU: ELU, seanet.ResidualUnit: ResidualUnit, seanet.Encoder: Chain, seanet.Decoder: Chain,
    STFTDiscriminator: Scale, MultiScaleSTFTDiscriminator: Discriminator,
}  # fmt: skip


def translated(network: nn.Module, what: str) -> dict[str, np.ndarray]:
    """The "data" or the "grad" of all parameters that learn, in minicodec's names and shapes."""
    found = {}
    for path, module in network.named_modules():
        for name, p in module.named_parameters(recurse=False):
            if p.requires_grad:
                axes = getattr(module, "axes", (1, 0)) if p.ndim > 1 else (0,)
                full = f"{path.removesuffix('lstm')}{lstm_name(name)}" if "_l" in name else f"{path}.{name}"
                found[full] = getattr(p, what).numpy(force=True).transpose(np.argsort(axes))
    return found
