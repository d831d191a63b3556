"""Two pictures of a benchmark: how many times as fast as the rival each case is, and the roofline of the operators."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from minicodec.evaluation.bench.send import counted
from minicodec.evaluation.bench.targets import Report
from minicodec.files import write_atomically

COLOURS = (
    *("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown", "tab:pink", "tab:olive"),
    *("tab:cyan", "black", "gold", "darkgreen"),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "h", "d", "p")  # one more than colours: 156 pairs


def cases_picture(report: Report, path: Path) -> None:
    """Bars for each case: the ratios to the rivals with their range and target; without a rival, shares of the peak."""
    compared, threads = bool(report["ratios"]), report["settings"]["threads"]
    shown = report["ratios"] if compared else [c for c in report["cases"] if c["share"] is not None]
    names = list(dict.fromkeys(c["case"] for c in shown))
    figure = Figure(figsize=(10, 1.5 + 0.42 * len(names) * (1 if compared else 0.7)), layout="constrained")
    axes = figure.subplots(1, len(threads), sharey=True, squeeze=False)[0]
    for one, count in zip(axes, threads, strict=True):
        (_ratio_bars if compared else _share_bars)(one, report, names, count)
        one.set(title=counted(count), yticks=range(len(names)), yticklabels=names)
        one.grid(axis="x", alpha=0.3)
    axes[0].invert_yaxis()
    axes[0].legend(loc="lower right", fontsize="small")
    model = f"{report['settings']['preset']}, {report['machine']['cpu']}"
    figure.suptitle(f"how many times as fast as PyTorch: {model}" if compared else f"share of the peak: {model}")
    save(figure, path)


def _ratio_bars(axes: Axes, report: Report, names: list[str], threads: int) -> None:
    some = [r for r in report["ratios"] if r["threads"] == threads]
    rivals = list(dict.fromkeys(r["against"] for r in some))
    height = 0.8 / max(1, len(rivals))
    for i, rival in enumerate(rivals):
        mine = [r for r in some if r["against"] == rival]
        y = [names.index(r["case"]) + (i - (len(rivals) - 1) / 2) * height for r in mine]
        ratio = np.array([r["ratio"] for r in mine])
        spread = [ratio - [r["lowest"] for r in mine], [r["highest"] for r in mine] - ratio]
        axes.barh(y, ratio, height * 0.9, xerr=spread, color=COLOURS[i], alpha=0.8, label=f"against {rival}")
    axes.axvline(1, color="black", lw=1)
    for n, r in enumerate(r for r in some if r["against"] == "torch" and r["target"]):
        y_target = names.index(r["case"])
        label = "target" if n == 0 else None
        axes.plot([r["target"]] * 2, [y_target - 0.45, y_target + 0.45], color="tab:red", lw=2, label=label)
    axes.set(xlabel="time of the rival / time of minicodec", xlim=(0, None))


def _share_bars(axes: Axes, report: Report, names: list[str], threads: int) -> None:
    shares = {c["case"]: c["share"] for c in report["cases"] if c["threads"] == threads and c["share"] is not None}
    axes.barh([names.index(name) for name in shares], list(shares.values()), 0.7, label="minicodec")
    axes.set(xlabel="GF/s as a share of sgemm's", xlim=(0, 1))


def roofline(report: Report, path: Path) -> None:
    """GF/s of every op's fastest pair against its arithmetic intensity, below the machine's two ceilings.

    Filled: forward; hollow: backward. A point on the roof uses all that the machine has; ops with few operations for
    each byte cannot rise above the slope. An op whose arrays fit into the caches may, since these are faster.
    """
    measured = [r for r in report["ops"] if r["gflops"] is not None]
    threads = list(dict.fromkeys(r["threads"] for r in report["ops"]))
    figure = Figure(figsize=(6.2 * len(threads) + 1.8, 6), layout="constrained")
    axes = figure.subplots(1, len(threads), sharey=True, squeeze=False)[0]
    ops = list(dict.fromkeys(r["op"] for r in measured))
    styles = {op: (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, op in enumerate(ops)}
    for one, count in zip(axes, threads, strict=True):
        fastest: dict[tuple[str, ...], Any] = {}
        for r in measured:
            if r["threads"] == count:  # the definition comes first: where there is a fast pair, it stays
                fastest[r["op"], r["size"], r["direction"]] = r
        for r in fastest.values():
            colour, marker = styles[r["op"]]
            face = colour if r["direction"] == "forward" else "none"
            one.plot(r["flop"] / r["bytes"], r["gflops"], marker, color=colour, markerfacecolor=face, ms=6, alpha=0.8)
        _roof(one, count, report["ceilings"][str(count)], [r["flop"] / r["bytes"] for r in measured])
        one.set(xlabel="operations / byte", xscale="log", yscale="log")
        one.grid(alpha=0.3, which="both", lw=0.5)
    axes[0].set_ylabel("GF/s")
    handles = [Line2D([], [], color=c, marker=m, ls="", label=op) for op, (c, m) in styles.items()]
    handles += [Line2D([], [], color="gray", marker="o", ls="", markerfacecolor="none", label="hollow: backward")]
    axes[-1].legend(handles=handles, fontsize="small", loc="center left", bbox_to_anchor=(1.01, 0.5))
    figure.suptitle(f"roofline of the operators: {report['machine']['cpu']}")
    save(figure, path)


def _roof(axes: Axes, threads: int, ceilings: dict[str, float], intensities: list[float]) -> None:
    peak, bandwidth = ceilings["sgemm"] / 1e9, ceilings["bandwidth"] / 1e9
    x = np.geomspace(min(intensities, default=0.1) / 2, max(intensities, default=100) * 2, 200)
    axes.plot(x, np.minimum(peak, bandwidth * x), color="black", lw=1.5)
    # In the title, where no point can lie.
    axes.set_title(f"{counted(threads)}: sgemm {peak:.0f} GF/s, memory {bandwidth:.0f} GB/s")


def save(figure: Figure, path: Path) -> None:
    """As PNG."""
    with write_atomically(path, overwrite=True) as temporary:
        figure.savefig(temporary, dpi=110)
