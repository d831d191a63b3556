"""Pictures of a training: its curves, and what it does to a clip."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicodec.files import write_atomically
from minicodec.ops.stft import hann, spectrum

WINDOW = 1024  # samples, of spectrograms
RANGE_DB = 80  # shown below the loudest point of the original


def draw(log: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the log of a training: losses, their shares, SI-SDR at each rate, use of the codebooks."""
    from matplotlib.figure import Figure

    training = [line for line in log if "loss" in line]
    validation = [line for line in log if "rates" in line]
    figure = Figure(figsize=(8, 13), layout="constrained")
    losses, shares, quality, usage = figure.subplots(4, 1, sharex=True)

    steps = [line["step"] for line in training]
    for name in ("l1", "mel", "commitment", "adversarial", "feature", "discriminator"):
        if any(line.get(name) for line in training):
            losses.plot(steps, [line.get(name) or np.nan for line in training], lw=0.8, label=name)
    for name in ("l1", "mel", "adversarial", "feature"):
        share = [line.get(f"share.{name}") for line in training]
        if any(value is not None for value in share):
            shares.plot(steps, _numbers(share), lw=0.8, label=name)
    rates = {name: None for line in validation for name in line["rates"]}  # a dictionary keeps their order
    for name in rates:
        shown = [line for line in validation if name in line["rates"]]
        label = name if name == "unquantized" else f"{name} kbps"
        at, figures = [v["step"] for v in shown], [v["rates"][name] for v in shown]
        quality.plot(at, _numbers([f["si_sdr"] for f in figures]), ".-", label=label)
        losses.plot(at, _numbers([f["mel"] for f in figures]), ".", label=f"mel, {label}")
    shown = [line for line in validation if "codebooks" in line]
    for level in range(max((len(v["codebooks"]["perplexity"]) for v in shown), default=0)):
        with_level = [v for v in shown if len(v["codebooks"]["perplexity"]) > level]
        perplexity = [v["codebooks"]["perplexity"][level] for v in with_level]
        usage.plot([v["step"] for v in with_level], perplexity, ".-", label=f"codebook {level + 1}")

    losses.set(title="losses (lines: training; dots: validation)", ylabel="loss", yscale="log")
    shares.set(title="shares of the gradient at the decoder's output", ylabel="share", ylim=(0, 1))
    quality.set(title="validation, averaged weights", ylabel="SI-SDR (dB)")
    usage.set(title="use of the codebooks", ylabel="perplexity (entries)", xlabel="step")
    for axes in (losses, shares, quality, usage):
        axes.grid(alpha=0.3)
        if axes.has_data():
            axes.legend(fontsize="small", ncols=2)
    _save(figure, path)


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    """With NaN, which is not drawn, for what a log holds as null."""
    return np.array(values, float)


def comparison(original: np.ndarray, decoded: np.ndarray, sample_rate: int, path: Path, title: str) -> None:
    """Draw waveforms and spectrograms of a clip (T,) and of what was decoded (T,): the original above."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5.5), layout="constrained")
    figure.suptitle(title)
    (wave1, spec1), (wave2, spec2) = figure.subplots(2, 2, sharex=True)
    seconds = np.arange(len(original)) / sample_rate
    limit = 1.05 * max(np.abs(original).max(), np.abs(decoded).max(), 1e-3)
    for axes, signal, name in ((wave1, original, "original"), (wave2, decoded, "decoded")):
        axes.plot(seconds, signal, lw=0.3)
        axes.set(title=name, ylabel="amplitude", ylim=(-limit, limit))
    top = decibels(original).max()
    for axes, signal, name in ((spec1, original, "original"), (spec2, decoded, "decoded")):
        image = _spectrogram(axes, signal, sample_rate, top)
        axes.set(title=name, ylabel="frequency (kHz)")
    figure.colorbar(image, ax=(spec1, spec2), label="level (dB)")
    for axes in (wave2, spec2):
        axes.set_xlabel("time (s)")
    _save(figure, path)


def decibels(signal: np.ndarray) -> np.ndarray:
    """signal (T,) -> levels in dB (To,F); no lower than -120."""
    x = np.pad(signal, WINDOW // 2)[None]
    magnitude = np.abs(spectrum(x, WINDOW, WINDOW // 4, hann(WINDOW, x, normalized=False)))[0]
    return 20 * np.log10(np.maximum(magnitude, 1e-6))


def _spectrogram(axes: Any, signal: np.ndarray, sample_rate: int, top: float) -> Any:
    extent = (0, len(signal) / sample_rate, 0, sample_rate / 2000)
    return axes.imshow(
        decibels(signal).T, origin="lower", aspect="auto", extent=extent, vmin=top - RANGE_DB, vmax=top, cmap="magma"
    )


def _save(figure: Any, path: Path) -> None:
    with write_atomically(path, overwrite=True) as temporary:
        figure.savefig(temporary, dpi=110)
