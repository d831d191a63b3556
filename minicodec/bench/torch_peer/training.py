"""The rival's training step: what `minicodec.training.trainer` does, in PyTorch [Defossez22, §3].

One thing is left out, to the rival's advantage: entries of the codebooks that nobody chooses are not revived.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minicodec.bench.cases import LEVELS, fit_codebooks, initial_adversary, run_config
from minicodec.bench.torch_peer.networks import nearest, rival, tensor
from minicodec.codec.model import Codec
from minicodec.codec.quantizer import DECAY, EPSILON
from minicodec.metrics import MEL_FLOOR, mel_bins, mel_filterbank
from minicodec.training.initial import initialise_codec

Compile = Callable[[nn.Module], Any]


class Adversary:
    """The discriminator, and its Adam."""

    def __init__(self, preset: str, compiled: Compile):
        config = run_config(preset).training.adversary
        self.network = rival(initial_adversary(preset).discriminator)
        self.adam = torch.optim.Adam(self.network.parameters(), config.lr, betas=config.betas, fused=True)
        self.discriminator = compiled(self.network)

    def learn(self, original: Tensor, decoded: Tensor) -> dict[str, Tensor]:
        """One update on recordings and decodings (B,1,T)."""
        real, fake = self.discriminator(original)[0], self.discriminator(decoded.detach())[0]
        loss = _mean(F.relu(1 - r).mean() + F.relu(1 + f).mean() for r, f in zip(real, fake, strict=True))
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        return {"discriminator": loss.detach()}

    def losses(self, original: Tensor, decoded: Tensor) -> dict[str, Tensor]:
        """What the generator is to minimise."""
        with torch.no_grad():
            real_maps = self.discriminator(original)[1]
        logits, fake_maps = self.discriminator(decoded)
        pairs = [p for maps in zip(real_maps, fake_maps, strict=True) for p in zip(*maps, strict=True)]
        feature = _mean((f - r).abs().mean() / r.abs().mean() for r, f in pairs)
        return {"adversarial": _mean(F.relu(1 - f).mean() for f in logits), "feature": feature}


def _mean(losses: Any) -> Tensor:
    return torch.stack(list(losses)).mean()


class Trainer:
    """The whole step."""

    def __init__(self, preset: str, compiled: Compile):
        run = run_config(preset)
        self.config = run.training
        codec = Codec(run.model, seed=self.config.seed)
        initialise_codec(codec)
        fit_codebooks(codec)
        q = codec.quantizer
        self.codebooks, self.counts, self.sums = tensor(q.codebooks), tensor(q.counts), tensor(q.sums)
        networks = nn.ModuleList([rival(codec.encoder), rival(codec.decoder)])
        self.weights = [p for p in networks.parameters() if p.requires_grad]
        self.averages = [p.detach().clone() for p in self.weights]
        self.adam = torch.optim.Adam(self.weights, self.config.lr, betas=self.config.betas, fused=True)
        self.encoder, self.decoder = map(compiled, networks)
        self.adversary = Adversary(preset, compiled)
        rate, windows = run.model.sample_rate, self.config.loss.mel_windows
        self.filters = {w: tensor(mel_filterbank(rate, w, mel_bins(w, rate))).float() for w in windows}
        self.hann = {w: torch.hann_window(w) for w in windows}
        self.totals: dict[str, Tensor] = {}
        self.count = 0.0

    def mel(self, x: Tensor, window: int) -> Tensor:
        """x (B,1,T) -> mel spectrogram (B,frames,bins)."""
        hop, hann = window // 4, self.hann[window]
        x = F.pad(x[:, 0], ((window - hop) // 2,) * 2)
        magnitude = torch.stft(x, window, hop, window=hann, center=False, return_complex=True).abs()
        return (magnitude / hann.pow(2).sum().sqrt()).transpose(1, 2) @ self.filters[window]

    def mel_loss(self, x: Tensor, decoded: Tensor) -> Tensor:
        """Over all windows."""
        total = torch.zeros(())
        for window in self.filters:
            with torch.no_grad():
                a = self.mel(x, window)
            b = self.mel(decoded, window)
            logs = torch.log10(a + MEL_FLOOR) - torch.log10(b + MEL_FLOOR)
            total = total + (a - b).abs().mean() + logs.pow(2).mean()
        return total

    def quantize(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """z (B,D,T) -> the same with z's gradient, commitment loss; the codebooks learn."""
        z = z.transpose(1, 2)
        residual, commitment = z, torch.zeros(())
        for codebook, counts, sums in zip(self.codebooks, self.counts, self.sums, strict=True):
            x = residual.detach().reshape(-1, z.shape[2])
            codes = nearest(x, codebook)
            codewords = codebook[codes].reshape(z.shape)
            counts.mul_(DECAY).add_(torch.bincount(codes, minlength=len(codebook)), alpha=1 - DECAY)
            sums.mul_(DECAY).index_add_(0, codes, x, alpha=1 - DECAY)
            total = counts.sum()
            smoothed = (counts + EPSILON) / (total + len(counts) * EPSILON) * total
            codebook.copy_(sums / smoothed[:, None])
            commitment = commitment + (residual - codewords).pow(2).mean() / LEVELS
            residual = residual - codewords
        return (z - residual.detach()).transpose(1, 2), commitment

    def update(self, x: Tensor) -> dict[str, Tensor]:
        """One step on crops (B,1,T) -> the losses and the gradient's norm."""
        z, commitment = self.quantize(self.encoder(x))
        decoded = self.decoder(z)
        losses = {"l1": (decoded - x).abs().mean(), "mel": self.mel_loss(x, decoded)}
        figures = self.adversary.learn(x, decoded)
        losses |= self.adversary.losses(x, decoded)

        combined = torch.zeros_like(decoded)
        weights = {name: getattr(self.config.adversary, name) for name in losses}
        decay = self.config.adversary.decay
        self.count = self.count * decay + 1
        for name, loss in losses.items():
            (g,) = torch.autograd.grad(loss, [decoded], retain_graph=name != "feature")
            self.totals[name] = self.totals.get(name, torch.zeros(())) * decay + g.norm(dim=(1, 2)).mean()
            combined += weights[name] / sum(weights.values()) * g / (self.totals[name] / self.count + 1e-12)
        self.adam.zero_grad()
        torch.autograd.backward([decoded, commitment * self.config.loss.commitment], [combined, torch.ones(())])
        norm = torch.stack([p.grad.norm() for p in self.weights if p.grad is not None]).norm()
        self.adam.step()
        torch._foreach_lerp_(self.averages, [p.detach() for p in self.weights], 1 - self.config.ema)
        named = losses | {"commitment": commitment, "gradient": norm}
        return figures | {name: value.detach() for name, value in named.items()}
