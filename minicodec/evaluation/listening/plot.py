"""The picture of a listening test: a mean and its interval for every condition, over the five words of the scale."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from minicodec.evaluation.listening.analysis import Analysis
from minicodec.evaluation.listening.stimuli import ALWAYS
from minicodec.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WORDS = ("Bad", "Poor", "Fair", "Good", "Excellent")


def draw(found: Analysis, path: Path) -> None:
    """Write the PNG; an older one is replaced."""
    with write_atomically(path, overwrite=True) as temporary:
        picture(found).savefig(temporary, dpi=150)


def picture(found: Analysis) -> "Figure":
    """A row for every condition, the best on top; grey dots are the means of single listeners."""
    from matplotlib.figure import Figure

    rows = found.summaries[::-1]  # drawn from below
    longest = max(len(row.condition) for row in rows)
    figure = Figure(figsize=(6.5 + 0.08 * longest, 1.6 + 0.42 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for fifth in range(5):
        axes.axvspan(20 * fifth, 20 * fifth + 20, color="0.96" if fifth % 2 else "white")
    for y, row in enumerate(rows):
        colour = "0.35" if row.condition in ALWAYS else "tab:blue"
        below = [y - 0.22] * len(row.listener_means)
        axes.plot(row.listener_means, below, "o", color="0.6", markersize=3, clip_on=False)
        half = 0 if math.isnan(row.half) else row.half
        axes.errorbar(row.mean, y, xerr=half, fmt="s", color=colour, capsize=4, markersize=6)
    axes.set_yticks(range(len(rows)), [row.condition for row in rows])
    axes.set_xlim(0, 100)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.set_xlabel("MUSHRA score (mean and 95 % interval; grey: the mean of each listener)")
    words = axes.secondary_xaxis("top")
    words.set_xticks([10, 30, 50, 70, 90], WORDS)
    words.tick_params(length=0)
    listeners = len(found.listeners)
    who = "1 listener: no interval" if listeners == 1 else f"{listeners} listeners"
    axes.set_title(f"{who}, {len(found.excluded)} excluded by post-screening", fontsize=10)
    return figure
