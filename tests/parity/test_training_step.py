"""Everything of a training step at once: five full steps against the same steps written in PyTorch.

Networks and discriminator of the peer are the `encodec` package's; quantizer, losses, balancer and the order of the
step are written here again, from the formulas of [Defossez22, §3].
"""

from itertools import pairwise

import numpy as np
import pytest

from minicodec.codec.foreign.convert import ENCODEC, sources
from minicodec.metrics import mel_bins, mel_filterbank
from minicodec.training.config import from_preset
from minicodec.training.trainer import ADVERSARY, Trainer

torch = pytest.importorskip("torch")
pytest.importorskip("encodec")
from encodec import modules  # noqa: E402
from encodec.msstftd import MultiScaleSTFTDiscriminator  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")  # the peer's business

STEPS, WINDOWS, MEL_WINDOWS, RATE = 5, (128, 64), (64, 128), 8000
LR, BETAS = 1e-3, (0.5, 0.9)
SETTINGS = [
    "sample_rate=8000", "bandwidths=[4,8]", "seanet.filters=4", "seanet.latent=6", "seanet.strides=[2,5]",
    "quantizer.levels=2", "quantizer.entries=32", "warmup_steps=0", f"lr={LR}", "loss.commitment=0.7",
    f"loss.mel_windows={list(MEL_WINDOWS)}", "adversary.enabled=true", "adversary.filters=4", "adversary.start=0",
    f"adversary.windows={list(WINDOWS)}", f"adversary.lr={LR}",
]  # fmt: skip


class Peer:
    """The whole training in PyTorch."""

    def __init__(self, dtype):
        torch.manual_seed(0)
        shared = {"dimension": 6, "n_filters": 4, "ratios": [5, 2], "causal": True, "lstm": 1, "true_skip": True}
        self.encoder = modules.SEANetEncoder(pad_mode="constant", **shared).to(dtype)
        self.decoder = modules.SEANetDecoder(pad_mode="constant", **shared).to(dtype)
        self.discriminator = MultiScaleSTFTDiscriminator(
            4, n_ffts=WINDOWS, hop_lengths=[w // 4 for w in WINDOWS], win_lengths=WINDOWS
        ).to(dtype)
        for name, p in [*self.encoder.named_parameters(), *self.decoder.named_parameters()]:
            if "bias_hh" in name:  # one bias is enough: two would be moved twice
                p.requires_grad_(False).zero_()
        self.codebooks = torch.randn(2, 32, 6).to(dtype)
        self.counts = torch.full((2, 32), 3.0).to(dtype)
        self.sums = self.codebooks * self.counts[:, :, None]
        trained = [p for p in [*self.encoder.parameters(), *self.decoder.parameters()] if p.requires_grad]
        self.generator_adam = torch.optim.Adam(trained, lr=LR, betas=BETAS)
        self.discriminator_adam = torch.optim.Adam(self.discriminator.parameters(), lr=LR, betas=BETAS)
        self.totals, self.fixes = {}, {}

    def state(self, ours):
        """All that changes, in the names and layout of our codec and of our discriminator."""
        state = {f"encoder.{k}": v for k, v in self.encoder.state_dict().items()}
        state |= {f"decoder.{k}": v for k, v in self.decoder.state_dict().items()}
        for q in range(2):
            book = {"embed": self.codebooks[q], "cluster_size": self.counts[q], "embed_avg": self.sums[q]}
            book["inited"] = torch.ones(1)
            state |= {f"quantizer.vq.layers.{q}._codebook.{k}": v for k, v in book.items()}
        arrays = {k: v.detach().numpy().copy() for k, v in state.items()}
        codec = {name: s.combine(*(arrays[n] for n in s.names)) for name, s in sources(ours, ENCODEC)}
        codec.pop("quantizer.updates")
        judge = {}
        for key, p in self.discriminator.state_dict().items():
            array = p.numpy().copy()
            name = key.replace("discriminators.", "scales.").replace(".conv.", ".")
            judge[name] = array if array.ndim == 1 else array.transpose(2, 3, 1, 0)
        return codec, judge

    def mel(self, x, window):
        hop = window // 4
        x = torch.nn.functional.pad(x[:, 0], ((window - hop) // 2,) * 2)
        hann = torch.hann_window(window, dtype=x.dtype)
        spectrum = torch.stft(x, window, hop, window=hann, center=False, return_complex=True).abs()
        filters = torch.tensor(mel_filterbank(RATE, window, mel_bins(window, RATE)), dtype=x.dtype)
        return (spectrum / hann.pow(2).sum().sqrt()).transpose(1, 2) @ filters

    def quantize(self, z, levels):
        residual, total, commitment = z, torch.zeros_like(z), 0
        for q in range(levels):
            flat = residual.detach().transpose(1, 2).reshape(-1, 6)
            codes = torch.cdist(flat, self.codebooks[q]).argmin(dim=1)
            codeword = self.codebooks[q][codes].reshape(z.shape[0], -1, 6).transpose(1, 2)
            one_hot = torch.nn.functional.one_hot(codes, 32).to(z.dtype)
            self.counts[q] = 0.99 * self.counts[q] + 0.01 * one_hot.sum(0)
            self.sums[q] = 0.99 * self.sums[q] + 0.01 * one_hot.T @ flat
            n = self.counts[q].sum()
            smoothed = (self.counts[q] + 1e-5) / (n + 32 * 1e-5) * n
            self.codebooks[q] = self.sums[q] / smoothed[:, None]
            commitment = commitment + (residual - codeword).pow(2).mean() / levels
            residual, total = residual - codeword, total + codeword
        return z + (total - z).detach(), commitment

    def step(self, x, levels, update_discriminator):
        z, commitment = self.quantize(self.encoder(x), levels)
        decoded = self.decoder(z)
        relu = torch.nn.functional.relu
        if update_discriminator:
            real, fake = self.discriminator(x)[0], self.discriminator(decoded.detach())[0]
            loss = sum(relu(1 - r).mean() + relu(1 + f).mean() for r, f in zip(real, fake, strict=True)) / len(WINDOWS)
            self.discriminator_adam.zero_grad()
            loss.backward()
            self.discriminator_adam.step()
        self.generator_adam.zero_grad()
        (0.7 * commitment).backward(retain_graph=True)

        logits, fake_maps = self.discriminator(decoded)
        real_maps = [[m.detach() for m in maps] for maps in self.discriminator(x)[1]]
        flat = [pair for maps in zip(real_maps, fake_maps, strict=True) for pair in zip(*maps, strict=True)]
        mel = 0
        for window in MEL_WINDOWS:
            a, b = self.mel(x, window), self.mel(decoded, window)
            logs = torch.log10(a + 1e-5) - torch.log10(b + 1e-5)
            mel = mel + (a - b).abs().mean() + logs.pow(2).mean()
        losses = {
            "l1": (0.1, (decoded - x).abs().mean()),
            "mel": (1.0, mel),
            "adversarial": (3.0, sum(relu(1 - f).mean() for f in logits) / len(WINDOWS)),
            "feature": (3.0, sum((f - r).abs().mean() / r.abs().mean() for r, f in flat) / len(flat)),
        }
        combined = torch.zeros_like(decoded)
        for name, (weight, loss) in losses.items():
            (g,) = torch.autograd.grad(loss, [decoded], retain_graph=True)
            self.totals[name] = 0.999 * self.totals.get(name, 0) + g.norm(dim=(1, 2)).mean()
            self.fixes[name] = 0.999 * self.fixes.get(name, 0) + 1
            combined += weight / 7.1 * g / (self.totals[name] / self.fixes[name] + 1e-12)
        decoded.backward(combined)
        self.generator_adam.step()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_five_steps(dtype, rng):
    """The definitions in float64, each array on its own; the fast pairs in float32, all arrays together.

    Adam's first steps are the signs of gradients. In float32 the signs of a few tiny ones are a matter of rounding, and
    in a small array one of them is much.
    """
    peer = Peer(getattr(torch, dtype))
    trainer = Trainer(from_preset("tiny_24khz", "unused", SETTINGS))
    quantizer = trainer.codec.quantizer
    for tensor in [*trainer.codec.parameters(), *trainer.adversary.discriminator.parameters()]:
        tensor.data = tensor.data.astype(dtype)
    for name in ("codebooks", "counts", "sums", "waiting"):
        setattr(quantizer, name, getattr(quantizer, name).astype(dtype))
    quantizer.updates[:] = 1
    for moments in (trainer.optimizer, trainer.adversary.optimizer):
        moments.m = {k: v.astype(dtype) for k, v in moments.m.items()}
        moments.v = {k: v.astype(dtype) for k, v in moments.v.items()}
    codec, judge = peer.state(trainer.codec)
    trainer.codec.load_state_dict(trainer.codec.state_dict() | codec)
    trainer.adversary.discriminator.load_state_dict(judge)

    levels, updates, states = set(), set(), [peer.state(trainer.codec)]
    for step in range(STEPS):
        x = (0.3 * rng.normal(size=(3, 400, 1))).astype(dtype)
        update = np.random.default_rng([0, step, ADVERSARY]).random() < 2 / 3
        levels.add(trainer.levels())
        updates.add(update)
        peer.step(torch.tensor(x.transpose(0, 2, 1)), trainer.levels(), update)
        figures = trainer.update(x)
        assert ("discriminator" in figures) == update
        states.append(peer.state(trainer.codec))
        moved, errors = {}, {}
        for ours, theirs, before in [
            (trainer.codec.state_dict(), states[-1][0], states[0][0]),
            (trainer.adversary.discriminator.state_dict(), states[-1][1], states[0][1]),
        ]:
            for name, expected in theirs.items():
                moved[name] = np.linalg.norm(expected - before[name])
                errors[name] = np.linalg.norm(ours[name] - expected)
        if dtype == "float64":
            assert all(errors[name] <= 1e-8 * moved[name] for name in moved), f"step {step}: {errors}"
        else:
            assert np.linalg.norm(list(errors.values())) <= 1e-3 * np.linalg.norm(list(moved.values())), f"step {step}"
    assert levels == {1, 2}, "the test must see both bandwidths"
    assert updates == {True, False}, "and steps with and without the discriminator's update"
    for (earlier, _), (later, _) in pairwise(states):
        assert all((later[k] != earlier[k]).any() for k in later )
