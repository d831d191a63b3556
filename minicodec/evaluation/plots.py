"""The pictures of an evaluation: rate-distortion curves and levels, as PNG files and for the page, and spectrograms."""

import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imsave

from minicodec.evaluation.scores import METRICS
from minicodec.evaluation.statistics import Line
from minicodec.files import write_atomically
from minicodec.training.curves import RANGE_DB, decibels

# Told apart by all eyes [Okabe02], and by their shapes; none of them is lost on white or on black.
STYLES = (("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"), ("#cc79a7", "D"), ("#e69f00", "v"), ("#56b4e9", "P"))
INK = "#123456"  # of text and axes in the page's curves, where it is replaced by the colour of the page's text
LEVELS = -20, 10  # dB that the pictures of levels show; what lies below is lost anyway
BINS = 4  # of a spectrogram in one row of pixels, on the page

Panels = dict[Axes, Sequence[Line]]  # what each shows
Draw = Callable[[Figure, Panels], None]


def curves(lines: Sequence[Line], metric: str, path: Path) -> None:
    """Draw a metric against the real payload, a panel for each category, to a PNG file."""
    _png(lines, path, lambda figure, panels: _draw(figure, panels, metric, 6))


def curves_svg(lines: Sequence[Line], metric: str) -> str:
    """The curves of one category as an <svg> element, in the colours of the page around it."""
    return _svg(lines, metric, lambda figure, panels: _draw(figure, panels, metric, 2))


def levels(lines: Sequence[Line], path: Path) -> None:
    """Draw how loud each octave comes back, a panel for each category, to a PNG file."""
    _png(lines, path, lambda figure, panels: _draw_levels(figure, panels, 6))


def levels_svg(lines: Sequence[Line]) -> str:
    """The levels of one category as an <svg> element."""
    return _svg(lines, "levels", lambda figure, panels: _draw_levels(figure, panels, 2))


def _png(lines: Sequence[Line], path: Path, draw: Draw) -> None:
    categories = list(dict.fromkeys(line.category for line in lines))
    figure = Figure(figsize=(0.6 + 4.4 * len(categories), 3.9), layout="constrained")
    panels = figure.subplots(1, len(categories), sharey=True, squeeze=False)[0]
    titled = dict(zip(panels, categories, strict=True))
    draw(figure, {axes: [line for line in lines if line.category == c] for axes, c in titled.items()})
    for axes, category in titled.items():
        axes.set_title(category)
    with write_atomically(path, overwrite=True) as temporary:
        figure.savefig(temporary, dpi=130)


def _svg(lines: Sequence[Line], salt: str, draw: Draw) -> str:
    parts = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    colours: dict[Any, Any] = dict.fromkeys(parts, INK)
    # Text stays text: it is small, and set in the page's own font. Ids from a fixed salt make the page reproducible.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt + lines[0].category, **colours}):
        figure = Figure(figsize=(4.6, 3.9), layout="constrained")
        draw(figure, {figure.subplots(): lines})
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    return re.sub(r'^<svg [^>]*?(viewBox="[^"]*")[^>]*>', r'<svg \1 aria-hidden="true">', svg, count=1)


def axis_label(metric: str) -> str:
    """The metric, its unit, and which end is good."""
    about = METRICS[metric]
    unit = f" ({about.unit})" if about.unit else ""
    return f"{about.title}{unit}, {'higher' if about.higher_is_better else 'lower'} is better"


def spectrogram(wav: np.ndarray, top: float) -> bytes:
    """wav (C,T) -> a WebP picture of its channels' mean: time to the right, linear frequency up, 80 dB below `top`."""
    levels = decibels(wav.mean(axis=0))
    bands = levels[:, :-1].reshape(len(levels), -1, BINS).max(axis=2)  # 512 of the 513 bins
    file = io.BytesIO()
    options: dict[str, Any] = {"quality": 60}
    imsave(file, bands.T[::-1], vmin=top - RANGE_DB, vmax=top, cmap="magma", format="webp", pil_kwargs=options)
    return file.getvalue()


def _draw(figure: Figure, panels: Panels, metric: str, columns: int) -> None:
    """The lines of each panel, on one scale, and a legend of all below them.

    The scale is that of the curves with all their intervals: an anchor can be so far away that they would be pressed
    together.
    """
    every = [line for lines in panels.values() for line in lines]
    systems = list(dict.fromkeys(line.condition.system for line in every if line.condition.kbps is not None))
    for axes, lines in panels.items():
        _curves(axes, lines, systems, metric)
    first, *_ = panels
    low, high = first.get_ylim()
    for axes, lines in panels.items():
        _anchors(axes, [line for line in lines if line.condition.kbps is None], metric, low, high)
    first.set_ylim(low, high)
    first.set_ylabel(axis_label(metric))
    _legend(figure, panels, systems, columns)


def _legend(figure: Figure, panels: Panels, systems: Sequence[str], columns: int) -> None:
    """One of all panels, below them: systems first, then anchors."""
    entries: dict[str, Any] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    labels = sorted(entries, key=lambda label: label not in systems)
    handles = [entries[label] for label in labels]
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize="small", frameon=False)


def _draw_levels(figure: Figure, panels: Panels, columns: int) -> None:
    """A line for each system and rate, darker for higher rates, over the octaves; and a legend of the systems."""
    every = [line.condition for lines in panels.values() for line in lines if line.condition.kbps is not None]
    systems, rates = list(dict.fromkeys(c.system for c in every)), sorted({c.kbps or 0.0 for c in every})
    for axes, lines in panels.items():
        axes.axhline(0, color="#888888", lw=1)
        for line in lines:
            system, kbps = line.condition.system, line.condition.kbps
            if kbps is None or line.condition.reason:
                continue
            colour, marker = STYLES[systems.index(system) % len(STYLES)]
            share = (rates.index(kbps) + 1) / len(rates)
            label = system if kbps == max(c.kbps or 0.0 for c in every if c.system == system) else None
            means = [interval.mean for interval in line.figures.values()]
            axes.plot(means, color=colour, alpha=0.2 + 0.8 * share, marker=marker, markersize=3, lw=1.3, label=label)
        octaves = [float(name.removeprefix("level_")) for name in lines[0].figures]
        axes.set_xticks(range(len(octaves)), [f"{f / 1000:g}k" if f >= 1000 else f"{f:g}" for f in octaves])
        axes.set_xlabel("octave from (Hz)")
        axes.grid(alpha=0.25)
        axes.set_ylim(*LEVELS)
    first, *_ = panels
    first.set_ylabel("level, less that of the original (dB)\ndarker lines: higher rates")
    _legend(figure, panels, systems, columns)


def _curves(axes: Axes, lines: Sequence[Line], systems: Sequence[str], metric: str) -> None:
    """One curve for each system that has rates; a system has its colour in every panel."""
    for number, system in enumerate(systems):
        points = [line for line in lines if line.condition.system == system and line.figures[metric].count]
        if not points:
            continue
        points.sort(key=lambda line: line.payload_kbps)
        mean, low, high = (
            np.array([getattr(p.figures[metric], part) for p in points]) for part in ("mean", "low", "high")
        )
        colour, marker = STYLES[number % len(STYLES)]
        bars = np.nan_to_num([mean - low, high - mean])  # a single clip has no interval
        x = [point.payload_kbps for point in points]
        axes.errorbar(x, mean, bars, color=colour, marker=marker, markersize=5, lw=1.3, capsize=2, label=system)
    axes.set_xscale("log")
    ticks = [tick for tick in (0.75, 1.5, 3, 6, 12, 24, 48, 96) if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("payload (kbit/s)")
    axes.grid(alpha=0.25)


def _anchors(axes: Axes, lines: Sequence[Line], metric: str, low: float, high: float) -> None:
    """A broken line for each anchor with its figure, which is at the edge where the line is beyond."""
    beyond = {"↑": 0.95, "↓": 0.05}  # where the next such figure stands
    for line, style in zip(lines, ("--", ":"), strict=False):
        level = line.figures[metric].mean
        if not line.figures[metric].count:
            continue
        axes.axhline(level, color="#888888", ls=style, lw=1, label=line.condition.system)
        where = "↑" if level > high else "↓" if level < low else ""
        text = f"{line.condition.system}: {level:.3g} {where}" if where else f"{level:.3g}"
        x, y = (0.02, beyond[where]) if where else (1.01, (level - low) / (high - low))  # inside; beside the panel
        if where:
            beyond[where] += -0.07 if where == "↑" else 0.07
        axes.text(x, y, text, transform=axes.transAxes, va="center", fontsize="small", color="#666666")
