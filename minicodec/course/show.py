"""What chapters show: the library's source, sounds, and pictures that look alike."""

import inspect
from typing import Any

import numpy as np


def source(thing: Any) -> Any:
    """The source of a function, class or module of the library, as a coloured cell output."""
    from IPython.display import Code

    return Code(inspect.getsource(thing), language="python")


def play(wav: np.ndarray, sample_rate: int, title: str = "") -> None:
    """A player for (T,) or (C,T) in [-1,1], at its true level: two sounds keep their difference in loudness."""
    from IPython.display import Audio, display

    if title:
        print(title)
    display(Audio(np.clip(wav, -1, 1), rate=sample_rate, normalize=False))


def spectrogram(axes: Any, wav: np.ndarray, sample_rate: int, title: str = "", window: int = 1024) -> None:
    """Draw a wave's (T,) levels in dB, against seconds and kHz, into matplotlib axes."""
    from minicodec.ops.stft import hann, spectrum

    magnitudes = np.abs(spectrum(wav[None], window, window // 4, hann(window, wav, normalized=True)))[0]
    level = 20 * np.log10(magnitudes.T + 1e-5)
    extent = (0, len(wav) / sample_rate, 0, sample_rate / 2000)
    axes.imshow(level, origin="lower", aspect="auto", extent=extent, vmin=-80, vmax=level.max(), cmap="magma")
    axes.set(xlabel="time / s", ylabel="frequency / kHz", title=title)
