"""What chapters show: the library's source, sounds, and pictures that look alike."""

import inspect
from collections.abc import Mapping
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


def panels(n: int = 1, height: float = 3.0, **options: Any) -> Any:
    """Matplotlib axes as wide as the page: one, or an array of n side by side. options are those of plt.subplots."""
    import matplotlib.pyplot as plt

    return plt.subplots(1, n, figsize=(9, height), layout="constrained", **options)[1]


def curves(x: Any, named: Mapping[str, Any], *, style: str = "-", height: float = 3.0, **settings: Any) -> None:
    """Draw and show one curve y (T,) over x (T,) for each name; settings: xlabel, ylabel, title, xscale, yscale, …"""
    import matplotlib.pyplot as plt

    axes = panels(height=height)
    for name, y in named.items():
        axes.plot(x, y, style, lw=1.2, ms=5, label=name)
    axes.set(**settings)
    if len(named) > 1:
        axes.legend()
    plt.show()


def spectrogram(axes: Any, wav: np.ndarray, sample_rate: int, title: str = "", window: int = 1024) -> None:
    """Draw a wave's (T,) levels in dB, against seconds and kHz, into matplotlib axes."""
    from minicodec.ops.stft import hann, spectrum

    magnitudes = np.abs(spectrum(wav[None], window, window // 4, hann(window, wav, normalized=True)))[0]
    level = 20 * np.log10(magnitudes.T + 1e-5)
    extent = (0, len(wav) / sample_rate, 0, sample_rate / 2000)
    axes.imshow(level, origin="lower", aspect="auto", extent=extent, vmin=-80, vmax=level.max(), cmap="magma")
    axes.set(xlabel="time / s", ylabel="frequency / kHz", title=title)


def spectrograms(named: Mapping[str, np.ndarray], sample_rate: int, height: float = 3.0) -> None:
    """Draw and show the spectrograms of waves (T,), side by side, each under its name."""
    import matplotlib.pyplot as plt

    for axes, (name, wav) in zip(np.atleast_1d(panels(len(named), height, sharey=True)), named.items(), strict=True):
        spectrogram(axes, wav, sample_rate, name)
        axes.label_outer()
    plt.show()
