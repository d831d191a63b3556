"""From rows, one for each clip, system and rate, to means over clips, with intervals that say what a mean is worth.

The interval is the bootstrap's [Efron79]: had other clips been drawn, what would the mean have been? Clips are drawn
anew, with replacement, from those that there are, and 95 % of the means that come out lie within. It knows nothing of
clips that none of these is like; and two systems whose intervals overlap can differ reliably all the same, for they
were measured on the same clips.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicodec.evaluation.settings import Condition

DRAWS = 2000
SEED = 0
ALL = "all clips"  # a category of everything; no folder's name, since those come without spaces


@dataclass(frozen=True)
class Interval:
    """A mean over `count` clips, and its 95 % interval: NaN for fewer than two clips, as is the mean of none."""

    mean: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Line:
    """A line of the table: a system at a rate on the clips of a category, with {metric: Interval}.

    The real rates, kbit/s, are all bytes over all seconds, without the container (payload) and with it (file); anchors
    have NaN.
    """

    category: str
    condition: Condition
    payload_kbps: float
    file_kbps: float
    clips: int
    figures: dict[str, Interval]


def summarise(rows: Iterable[dict[str, Any]], conditions: Sequence[Condition], metrics: Sequence[str]) -> list[Line]:
    """The lines for each category and, if there are several, for all; conditions in their order."""
    rows = list(rows)
    categories = sorted({row["category"] for row in rows})
    lines = []
    for category in [ALL, *categories] if len(categories) != 1 else categories:
        for condition in conditions:
            key = condition.system, condition.kbps
            chosen = [r for r in rows if category in (ALL, r["category"]) and (r["system"], r["kbps"]) == key]
            figures = {name: bootstrap([row[name] for row in chosen]) for name in metrics}
            payload, file = (_kbps(chosen, size) for size in ("payload_bytes", "file_bytes"))
            lines.append(Line(category, condition, payload, file, len(chosen), figures))
    return lines


def bootstrap(values: Sequence[float]) -> Interval:
    """The mean of those values that are finite, with its 95 % interval; the same every time."""
    x = np.array([value for value in values if math.isfinite(value)])
    if len(x) < 2:
        return Interval(float(x[0]) if len(x) else math.nan, math.nan, math.nan, len(x))
    means = np.random.default_rng(SEED).choice(x, (DRAWS, len(x))).mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(float(x.mean()), float(low), float(high), len(x))


def _kbps(rows: Sequence[dict[str, Any]], key: str) -> float:
    sizes = [row[key] for row in rows if row[key] is not None]
    return sum(sizes) * 8 / 1000 / sum(row["seconds"] for row in rows) if sizes else math.nan
