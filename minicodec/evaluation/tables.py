"""The tables of an evaluation, as files and on the terminal.

    results.csv     a row for each clip, system and rate: every figure there is
    table.csv       a row for each category, system and rate: means, 95 % intervals, counts
    levels.csv      the same for how loud each octave comes back, in dB [levels.py]
    results.md      the same for people
"""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from minicodec.evaluation.scores import METRICS
from minicodec.evaluation.settings import Settings
from minicodec.evaluation.statistics import Interval, Line
from minicodec.files import write_atomically

SYSTEM = 2  # columns that say which system, at which rate
DECIMALS = {"stoi": 3}  # of figures; two where nothing else is said


def write_results(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """results.csv. A rate that an anchor does not have is empty; a metric without meaning for a clip is nan."""
    _write_csv(path, [{key: _cell(value) for key, value in row.items()} for row in rows])


def write_table(lines: Sequence[Line], path: Path) -> None:
    """table.csv or levels.csv; a rate that a system lacks has its reason there, and no figures."""
    table = []
    for line in lines:
        row: dict[str, Any] = {
            "category": line.category,
            "system": line.condition.system,
            "kbps": line.condition.kbps,
            "payload_kbps": line.payload_kbps,
            "file_kbps": line.file_kbps,
            "clips": line.clips,
            "left_out": line.condition.reason,
        }
        for name, interval in line.figures.items():
            row |= {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
            row[f"{name}_count"] = interval.count
        table.append({key: _cell(value) for key, value in row.items()})
    _write_csv(path, table)


def write_markdown(lines: Sequence[Line], settings: Settings, path: Path) -> None:
    """results.md: a table for each category, with a legend."""
    metrics = list(settings.metrics)
    text = ["# Evaluation", "", *(f"- {sentence}" for sentence in legend(settings))]
    text += [f"- {heading(name)}: {METRICS[name].meaning}." for name in metrics]
    for category in dict.fromkeys(line.category for line in lines):
        heads = ["system", "kbit/s", "payload", "file", "clips", *(heading(name) for name in metrics)]
        text += ["", f"## {category}", "", f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
        text += [f"| {' | '.join(cells(line))} |" for line in lines if line.category == category]
    with write_atomically(path, overwrite=True) as temporary:
        temporary.write_text("\n".join(text) + "\n", encoding="utf-8")


def show(lines: Sequence[Line], settings: Settings, console: Console) -> None:
    """Print a table for each category."""
    for category in dict.fromkeys(line.category for line in lines):
        heads = ["system", "kbit/s", "payload", "file", "clips", *(heading(name) for name in settings.metrics)]
        rows = [cells(line) for line in lines if line.category == category]
        for columns in fitting(heads, rows, console.width):
            table = Table(title=category, title_justify="left", box=None)
            for i in columns:
                table.add_column(heads[i], justify="right" if i else "left", no_wrap=True)
            for row in rows:
                table.add_row(*(row[i] for i in columns))
            console.print(table)


def fitting(
    heads: Sequence[str], rows: Sequence[Sequence[str]], width: int, leading: int = SYSTEM
) -> list[list[int]]:
    """Which columns stand in each of several tables, none wider than `width`; all begin with the `leading` columns."""
    widths = [max(map(len, column)) + 2 for column in zip(heads, *rows, strict=True)]  # two spaces, one on either side
    tables = [list(range(leading))]
    for i in range(leading, len(heads)):
        if sum(widths[j] for j in tables[-1]) + widths[i] > width and len(tables[-1]) > leading:
            tables.append(list(range(leading)))
        tables[-1].append(i)
    return tables


def legend(settings: Settings) -> list[str]:
    """What one has to know to read the tables, a sentence each."""
    sound = f"{settings.sample_rate} Hz, {'mono' if settings.channels == 1 else 'stereo'}"
    return [
        f"{len(settings.clips)} clips of at most {settings.seconds:g} s, {sound}, the same for every system.",
        *(f"{model.system}: the model {model.weights}." for model in settings.models),
        "Rates in kbit/s: what was asked for; what the codec's data really take (payload); with the container (file).",
        "Figures: the mean over clips [its 95 % interval, by bootstrap]; (n) where only n clips have the figure.",
    ]


def heading(name: str) -> str:
    """A metric's name, unit, and an arrow to where it is good."""
    unit = f" {METRICS[name].unit}" if METRICS[name].unit else ""
    return f"{name}{unit} {'↑' if METRICS[name].higher_is_better else '↓'}"


def cells(line: Line) -> list[str]:
    """The line as text."""
    condition = line.condition
    asked = "" if condition.kbps is None else f"{condition.kbps:g}"
    if condition.reason:
        return [condition.system, asked, "–", "–", "0", condition.reason, *[""] * (len(line.figures) - 1)]
    rates = [f"{kbps:.2f}" if math.isfinite(kbps) else "" for kbps in (line.payload_kbps, line.file_kbps)]
    figures = [figure(name, interval, line.clips) for name, interval in line.figures.items()]
    return [condition.system, asked, *rates, str(line.clips), *figures]


def figure(name: str, interval: Interval, clips: int) -> str:
    """5.12 [4.80, 5.51] (27)."""
    if not interval.count:
        return "–"
    decimals = DECIMALS.get(name, 2)
    text = f"{interval.mean:.{decimals}f}"
    if math.isfinite(interval.low):
        text += f" [{interval.low:.{decimals}f}, {interval.high:.{decimals}f}]"
    return text if interval.count == clips else f"{text} ({interval.count})"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _write_csv(path: Path, rows: Sequence[dict[str, str]]) -> None:
    with write_atomically(path, overwrite=True) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
