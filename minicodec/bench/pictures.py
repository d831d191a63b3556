"""Pictures of a benchmark: how many times as fast as the rivals, the operators' roofline, how the cost grows."""

from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from minicodec.bench.child import counted
from minicodec.bench.report import Report
from minicodec.files import write_atomically

DURATIONS = {60: "1 min", 600: "10 min", 3600: "1 h"}
MARKERS = "os^DvPX*<>hdp"  # neighbours in colour differ in shape


def ratio_bars(report: Report, path: Path) -> None:
    """Bars for each case: the ratios to the rivals, with their range and the target."""
    ratios, threads = report["ratios"], report["settings"]["threads"]
    names = list(dict.fromkeys(r["case"] for r in ratios))
    rivals = list(dict.fromkeys(r["against"] for r in ratios))
    height = 0.8 / len(rivals)
    figure = Figure(figsize=(10, 1.5 + 0.42 * len(names)), layout="constrained")
    every = figure.subplots(1, len(threads), sharey=True, squeeze=False)[0]
    for axes, count in zip(every, threads, strict=True):
        for i, rival in enumerate(rivals):
            mine = [r for r in ratios if r["threads"] == count and r["against"] == rival]
            y = [names.index(r["case"]) + (i - (len(rivals) - 1) / 2) * height for r in mine]
            ratio = np.array([r["ratio"] for r in mine])
            spread = [ratio - [r["lowest"] for r in mine], [r["highest"] for r in mine] - ratio]
            axes.barh(y, ratio, height * 0.9, xerr=spread, alpha=0.8, label=f"against {rival}")
        aimed = {r["case"]: r["target"] for r in ratios if r["target"]}
        places = np.array([names.index(name) for name in aimed])
        axes.vlines(list(aimed.values()), places - 0.45, places + 0.45, color="tab:red", lw=2, label="target")
        axes.axvline(1, color="black", lw=1)
        axes.set(title=counted(count), yticks=range(len(names)), yticklabels=names, xlim=(0, None))
        axes.set_xlabel("time of the rival / time of minicodec")
        axes.grid(axis="x", alpha=0.3)
    every[0].invert_yaxis()
    every[0].legend(loc="lower right", fontsize="small")
    figure.suptitle(f"how many times as fast as others: {report['settings']['preset']}, {report['machine']['cpu']}")
    save(figure, path)


def roofline(report: Report, path: Path) -> None:
    """GF/s of every op's fastest pair against its arithmetic intensity, below the machine's two ceilings.

    Filled: forward; hollow: backward. A point on the roof uses all that the machine has; ops with few operations for
    each byte cannot rise above the slope. An op whose arrays fit into the caches may, since these are faster.
    """
    # The definition comes first: where there is a fast pair, it replaces it.
    fastest = {(r["op"], r["size"], r["direction"], r["threads"]): r for r in report["ops"] if r["flop"] is not None}
    intensities = [r["flop"] / r["bytes"] for r in fastest.values()]
    x = np.geomspace(min(intensities, default=0.1) / 2, max(intensities, default=100) * 2, 200)
    ops = list(dict.fromkeys(r["op"] for r in fastest.values()))
    colours = colormaps["turbo"](np.linspace(0.03, 0.97, len(ops)))  # every op has its own
    styles = {op: (colours[i], MARKERS[i % len(MARKERS)]) for i, op in enumerate(sorted(ops))}
    threads = list(dict.fromkeys(r["threads"] for r in report["ops"]))
    figure = Figure(figsize=(6.2 * len(threads) + 1.8, 6), layout="constrained")
    every = figure.subplots(1, len(threads), sharey=True, squeeze=False)[0]
    for axes, count in zip(every, threads, strict=True):
        _roofline(axes, [r for r in fastest.values() if r["threads"] == count], styles)
        peak, bandwidth = (report["ceilings"][str(count)][name] / 1e9 for name in ("sgemm", "bandwidth"))
        axes.plot(x, np.minimum(peak, bandwidth * x), color="black", lw=1.5)
        axes.set_title(f"{counted(count)}: sgemm {peak:.0f} GF/s, memory {bandwidth:.0f} GB/s")
    every[0].set_ylabel("GF/s")
    handles = [Line2D([], [], color=c, marker=m, ls="", label=op) for op, (c, m) in styles.items()]
    handles += [Line2D([], [], color="gray", marker="o", ls="", markerfacecolor="none", label="hollow: backward")]
    every[-1].legend(handles=handles, fontsize="small", loc="center left", bbox_to_anchor=(1.01, 0.5))
    figure.suptitle(f"roofline of the operators: {report['machine']['cpu']}")
    save(figure, path)


def curve(report: Report, path: Path) -> None:
    """Milliseconds of computing for a second of sound: by its length, by the batch, by the channels."""
    cases = [r for r in report["cases"] if r["rounds"]]
    panels = [
        ("encode", "length", "seconds", [r for r in cases if r["kind"] == "encoder" and not r["filters"]]),
        ("train", "batch: seconds of sound at once", "batch", [r for r in cases if r["kind"] == "generator"]),
        ("encode 10 s", "channels of the first layer", "filters", [r for r in cases if r["filters"]]),
    ]
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    every = figure.subplots(1, len(panels), sharey=True)
    most = max(report["settings"]["threads"])
    for axes, (title, label, axis, records) in zip(every, panels, strict=True):
        for who, colour in (("torch", "tab:orange"), ("minicodec", "tab:blue")):
            for t in report["settings"]["threads"]:
                line = [r for r in records if r["implementation"] == who and r["threads"] == t]
                line.sort(key=itemgetter(axis))
                cost = [1e3 * r["median"] / (r["seconds"] * r["batch"]) for r in line]
                style = {"lw": 2.5, "ls": "-"} if t == most else {"lw": 1.2, "ls": "--"}
                name = f"{'PyTorch' if who == 'torch' else who}, {counted(t)}"
                axes.plot([r[axis] for r in line], cost, "o", color=colour, ms=5, label=name if line else None, **style)
        places = sorted({r[axis] for r in records})
        axes.set(title=title, xlabel=label, xscale="log", yscale="log")
        axes.set_xticks(places, [DURATIONS.get(x, f"{x:g} s") if axis == "seconds" else f"{x:g}" for x in places])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    every[0].set_ylabel("ms of computing for a second of sound")
    ticks = [t for t in (5, 10, 20, 50, 100, 200, 500, 1000) if every[0].get_ylim()[0] <= t <= every[0].get_ylim()[1]]
    every[0].set_yticks(ticks, [str(t) for t in ticks])
    every[1].legend(fontsize="small")
    save(figure, path)


def _roofline(axes: Axes, records: list[dict[str, Any]], styles: dict[str, tuple[Any, str]]) -> None:
    for r in records:
        colour, marker = styles[r["op"]]
        face = colour if r["direction"] == "forward" else "none"
        axes.plot(r["flop"] / r["bytes"], r["gflops"], marker, color=colour, markerfacecolor=face, ms=6, alpha=0.8)
    axes.set(xlabel="operations / byte", xscale="log", yscale="log")
    axes.grid(alpha=0.3, which="both", lw=0.5)


def save(figure: Figure, path: Path) -> None:
    """As PNG."""
    with write_atomically(path, overwrite=True) as temporary:
        figure.savefig(temporary, dpi=110)
