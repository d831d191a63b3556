"""What training minimises: the distance of decoded from original audio, in time and in frequency [Defossez22, §3.4].

    l1   mean |x - x̂|                                         pins the waveform down
    mel  Σ over windows w of  mean |S(x) - S(x̂)|  +  mean (log10 S(x) - log10 S(x̂))²
                                                              pins down how it sounds: S is a mel spectrogram

The quantizer adds its commitment loss. The mean |S - Ŝ| is ruled by the loud parts, the logarithms make the quiet ones
count; small windows see when something happens, large ones at what pitch.
"""

from collections.abc import Sequence

import numpy as np

from minicodec import functional as F
from minicodec.backend import xp
from minicodec.codec.transform import mdct_basis
from minicodec.device import module as array_module
from minicodec.metrics import MEL_FLOOR, mel_bins, mel_filterbank, triangles
from minicodec.tensor import Tensor, no_grad

MDCT_SIZE = 320
PUBLISHED_BINS, PUBLISHED_LOWEST = 64, 64.0  # mel filters, Hz
LN10 = float(np.log(10))
SILENT = 1e-6  # added to what a relative difference is divided by


class MelLoss:
    """The multi-scale mel loss of signals at one sample rate, for some window lengths in samples.

    Each frame is centred on its own hop of w/4 samples: for that, (w - hop)/2 stand on both sides of the signal.
    Windows are Hann's, divided by sqrt(Σ window²).

                    "fitting"                              "published" [AudioCraft, MultiScaleMelSpectrogramLoss]
    S               |STFT| times mel filters               |STFT|² times mel filters
    filters         from 0 Hz, as many as w can fill       64 from 64 Hz at every w; at the small ones, most are empty
    at the ends     zeros                                  reflection; zeros until the last frame is full
    the sum         as above                               over 2 · the number of windows

    "absolute" is "fitting", but with 2 mean |log10 S - log10 Ŝ| for the squares, as in [Kumar23, §3.5]. What is soft
    beside something loud is decoded far too loud. Squares are ruled by such errors; absolute differences are not.

    relative: weight of another term for each window, mean |S - Ŝ| / mean S, with means over one item and channel: a
    spectral convergence [Arik18] by absolute differences. mean |S - Ŝ| alone is ruled by the loudest of a batch.

    level: weight of a third, mean |log10 mean S² - log10 mean Ŝ²|; inside, over the time of one item and channel.
    Who does not know S bets on its median, in which there is less power than in S: bands come back too quiet, and no
    other term minds.

    A floor of 1e-5 lies at -100 dB of magnitudes, but at -50 dB of power: the published loss hears no soft sounds.
    """

    def __init__(
        self,
        sample_rate: int,
        windows: Sequence[int],
        device: str = "cpu",
        *,
        kind: str = "fitting",
        floor: float = MEL_FLOOR,
        relative: float = 0.0,
        level: float = 0.0,
    ):
        self.kind, self.floor, self.relative, self.level = kind, floor, relative, level
        array = array_module(device)
        filters = (
            triangles(sample_rate, w, PUBLISHED_BINS, PUBLISHED_LOWEST)
            if kind == "published"
            else mel_filterbank(sample_rate, w, mel_bins(w, sample_rate))
            for w in windows
        )
        self.filters = {w: array.asarray(f) for w, f in zip(windows, filters, strict=True)}

    def __call__(self, x: Tensor, decoded: Tensor, windows: Sequence[int] = ()) -> Tensor:
        """Original x (B,T,C), a constant, and decoded (B,T,C) -> the loss, a scalar.

        windows: those that stand for all, where not all are to be computed; the sum is scaled to match.
        """
        loss = Tensor(xp(decoded.data).zeros((), decoded.dtype))
        for window in windows or self.filters:
            with no_grad():
                target = self.spectrogram(x, window)
                log_target = log10(target + self.floor)
            mel = self.spectrogram(decoded, window)
            log_mel = log10(mel + self.floor)
            in_logs = F.l1_loss(log_mel, log_target) * 2 if self.kind == "absolute" else F.mse_loss(log_mel, log_target)
            loss = loss + F.l1_loss(mel, target) + in_logs
            if self.relative:
                share = self.relative / (target.data.mean(axis=(1, 2), keepdims=True) + SILENT)
                loss = loss + (F.absolute(mel - target) * share).mean()
            if self.level:
                loss = loss + F.l1_loss(self.levels(mel), self.levels(target)) * self.level
        scale = 1 / (2 * len(self.filters)) if self.kind == "published" else 1.0
        return loss * (scale * len(self.filters) / len(windows or self.filters))

    def spectrogram(self, x: Tensor, window: int) -> Tensor:
        """x (B,T,C) -> mel spectrogram (B·C,To,M), To = about T/hop."""
        hop = window // 4
        if self.kind == "published":
            fill = -x.shape[1] % hop
            x = F.pad1d(F.pad1d(x, (window - hop) // 2, (window - hop) // 2, "reflect"), 0, fill)
        else:
            x = F.pad1d(x, (window - hop) // 2, (window - hop) // 2)
        B, T, C = x.shape
        x = x.transpose(0, 2, 1).reshape(B * C, T)
        S = F.stft_magnitude(x, n_fft=window, hop=hop, normalized=True)
        return F.linear(S * S if self.kind == "published" else S, self.filters[window].astype(x.dtype))

    def levels(self, mel: Tensor) -> Tensor:
        """Mel spectrogram (B,To,M) -> the logarithm of each filter's mean power (B,M)."""
        return log10((mel * mel).mean(axis=1) + self.floor**2)


class WaveformLoss:
    """mean |x - x̂|; or mean |w (X - X̂)| of MDCT coefficients, w = 1 for frequencies below a limit, `above` elsewhere.

    Where few bits leave no waveform, the best guess by an l1 is silence. Up there it had better say little.
    """

    def __init__(self, sample_rate: int, below: float, above: float = 0.0, device: str = "cpu"):
        count = round(MDCT_SIZE * below / (sample_rate / 2))
        basis = mdct_basis(MDCT_SIZE)
        basis[:, count:] *= above
        heard = basis if above else basis[:, :count]
        self.share = heard.shape[1] / MDCT_SIZE
        self.basis = array_module(device).asarray(heard[:, None].copy()) if below else None

    def __call__(self, x: Tensor, decoded: Tensor) -> Tensor:
        """Original x (B,T,C), a constant, and decoded (B,T,C) -> the loss, a scalar. Silent frequencies count as 0."""
        if self.basis is None:
            return F.l1_loss(decoded, x)
        B, T, C = decoded.shape
        difference = (decoded - x).transpose(0, 2, 1).reshape(B * C, T, 1)
        coefficients = F.conv1d(difference, self.basis.astype(x.dtype), stride=MDCT_SIZE)
        return F.absolute(coefficients).mean() * self.share


def log10(x: Tensor) -> Tensor:
    """Decimal logarithm."""
    return F.log(x) * (1 / LN10)
