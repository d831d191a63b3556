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
from minicodec.device import module as array_module
from minicodec.metrics import MEL_FLOOR, mel_bins, mel_filterbank
from minicodec.tensor import Tensor, no_grad

LN10 = float(np.log(10))


class MelLoss:
    """The multi-scale mel loss of signals at one sample rate, for some window lengths in samples.

    S is |STFT| with a Hann window divided by sqrt(Σ window²), hop w/4, times mel filters [metrics.mel_filterbank]. The
    published loss has 64 filters at every window, most of them empty at the small ones; here their number fits.
    (w - hop)/2 zeros stand on both sides of the signal, so that each frame is centred on its own hop.
    """

    def __init__(self, sample_rate: int, windows: Sequence[int], device: str = "cpu"):
        array = array_module(device)
        self.filters = {w: array.asarray(mel_filterbank(sample_rate, w, mel_bins(w, sample_rate))) for w in windows}

    def __call__(self, x: Tensor, decoded: Tensor) -> Tensor:
        """Original x (B,T,C), a constant, and decoded (B,T,C) -> the loss, a scalar."""
        loss = Tensor(xp(decoded.data).zeros((), decoded.dtype))
        for window in self.filters:
            with no_grad():
                target = self.spectrogram(x, window)
                log_target = log10(target + MEL_FLOOR)
            mel = self.spectrogram(decoded, window)
            loss = loss + F.l1_loss(mel, target) + F.mse_loss(log10(mel + MEL_FLOOR), log_target)
        return loss

    def spectrogram(self, x: Tensor, window: int) -> Tensor:
        """x (B,T,C) -> mel spectrogram (B·C,To,M), To = about T/hop."""
        hop = window // 4
        x = F.pad1d(x, (window - hop) // 2, (window - hop) // 2)
        B, T, C = x.shape
        x = x.transpose(0, 2, 1).reshape(B * C, T)
        magnitude = F.stft_magnitude(x, n_fft=window, hop=hop, normalized=True)
        return F.linear(magnitude, self.filters[window].astype(x.dtype))


def log10(x: Tensor) -> Tensor:
    """Decimal logarithm."""
    return F.log(x) * (1 / LN10)
