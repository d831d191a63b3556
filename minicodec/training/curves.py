"""Pictures of a training: its curves, and what it does to a clip."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicodec.files import write_atomically
from minicodec.ops.stft import hann, spectrum

WINDOW = 1024  # samples, of spectrograms
RANGE_DB = 80  # shown below the loudest point of the original
LOSSES = ("l1", "mel", "commitment", "adversarial", "feature", "discriminator")  # in matplotlib's own order of colours
RATES, CODEBOOKS = "RdPu", "Greys"


def draw(log: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the log of a training: losses and their shares in training; mel loss and SI-SDR at each rate in validation;
    the use of the codebooks in training.

    A colour means one thing in all panels: losses have the colours of LOSSES, rates get darker with their bits on
    the scale RATES, codebooks from the first to the last on CODEBOOKS.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    training = [line for line in log if "loss" in line]
    validation = [line for line in log if "rates" in line]
    figure = Figure(figsize=(9, 15), layout="constrained")
    losses, shares, mel, quality, usage = figure.subplots(5, 1, sharex=True)

    steps = [line["step"] for line in training]
    own = sorted({key.removeprefix("share.") for line in training for key in line if key.startswith("share.")})
    colours = {name: f"C{i}" for i, name in enumerate(dict.fromkeys([*LOSSES, *own]))}
    for name, colour in colours.items():
        if any(line.get(name) for line in training):
            values = [line.get(name) or np.nan for line in training]
            losses.plot(steps, values, lw=0.8, color=colour, label=name)
            if name == "mel":
                mel.plot(steps, values, lw=0.8, color=colour, label="in training, at mixed rates")
        share = [line.get(f"share.{name}") for line in training]
        if any(value is not None for value in share):
            shares.plot(steps, _numbers(share), lw=0.8, color=colour, label=name)
    rates = list(dict.fromkeys(name for line in validation for name in line["rates"]))  # unquantized, then rising
    rates[1:] = rates[:0:-1]
    for name, colour in zip(rates, colormaps[RATES](np.linspace(1, 0.4, len(rates))), strict=True):
        shown = [line for line in validation if name in line["rates"]]
        label = name if name == "unquantized" else f"{name} kbps"
        style: dict[str, Any] = {"ls": "--" if name == "unquantized" else "-", "marker": "o", "ms": 4, "color": colour}
        at, figures = [v["step"] for v in shown], [v["rates"][name] for v in shown]
        mel.plot(at, _numbers([f["mel"] for f in figures]), **style, label=label)
        quality.plot(at, _numbers([f["si_sdr"] for f in figures]), **style, label=label)
    shown = [line for line in validation if "codebooks" in line]
    levels = max((len(v["codebooks"]["perplexity"]) for v in shown), default=0)
    for level, colour in enumerate(colormaps[CODEBOOKS](np.linspace(0.3, 1, levels))):
        with_level = [v for v in shown if len(v["codebooks"]["perplexity"]) > level]
        perplexity = [v["codebooks"]["perplexity"][level] for v in with_level]
        usage.plot([v["step"] for v in with_level], perplexity, "o-", ms=4, color=colour, label=f"codebook {level + 1}")

    losses.set(title="training: losses", ylabel="loss", yscale="log")
    shares.set(title="training: shares of the gradient at the decoder's output", ylabel="share", ylim=(0, 1))
    mel.set(title="validation, averaged weights: mel loss", ylabel="mel")
    quality.set(title="validation, averaged weights: SI-SDR", ylabel="SI-SDR (dB)")
    usage.set(title="training: use of the codebooks, at each validation", ylabel="perplexity (entries)", xlabel="step")
    for axes in (losses, shares, mel, quality, usage):
        axes.grid(alpha=0.3)
        if axes.has_data():
            axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
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
