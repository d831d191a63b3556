"""One table of everything that was meant to be reached: speed beside PyTorch, start-up, memory.

With two threads, PyTorch's can get into each other's way: then it takes ten times as long as with one, or does so in
some rounds. Nobody meets a target because the rival had a bad day: where such figures differ by more than the factor
ERRATIC, the rival's best is what counts.
"""

from typing import Any

Report = dict[str, Any]
ERRATIC = 2.0


def erratic(ratio: dict[str, Any]) -> bool:
    """Do the rounds differ so much that their median says little, or would a single thread have been far better?"""
    return bool(ratio["highest"] > ERRATIC * ratio["lowest"] or ratio["ratio"] > ERRATIC * ratio["single"])


def meets(ratio: dict[str, Any]) -> bool | None:
    """Has the target been reached? None if there is none; the targets are set against PyTorch as it comes."""
    if ratio["target"] is None or ratio["against"] != "torch":
        return None
    return bool((min(ratio["lowest"], ratio["single"]) if erratic(ratio) else ratio["ratio"]) >= ratio["target"])


def target_rows(report: Report) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: a row for everything that has a target, with a column for each number of threads."""
    threads = report["settings"]["threads"]
    headings = ["what", *(f"{t} thread{'s' * (t > 1)}" for t in threads), "target", ""]
    ratios: dict[str, dict[int, Any]] = {}
    for r in report["ratios"]:
        if r["met"] is not None:
            ratios.setdefault(r["case"], {})[r["threads"]] = r
    rows = []
    for case, found in ratios.items():
        figures = [times(found.get(t)) for t in threads]
        target = next(iter(found.values()))["target"]
        rows.append([case, *figures, f"≥ {target:g} x", verdict([found[t]["met"] for t in threads if t in found])])
    for s in report["start"]:
        if s["limit"] is not None:
            # The number of threads makes no difference to these: one figure, in the first column.
            figures = [quantity(s["median"], s["unit"]), *[""] * (len(threads) - 1)]
            rows.append([s["what"], *figures, f"< {quantity(s['limit'], s['unit'])}", verdict([s["met"]])])
    for c in report["cases"]:
        if c["implementation"] == "minicodec" and c["limit"] is not None:
            figures = [quantity(c["slowest"], "s") if c["threads"] == t else "" for t in threads]
            limit = f"≤ {quantity(c['limit'], 's')}"
            rows.append([f"{c['case']}: the slowest", *figures, limit, verdict([c["slowest"] <= c["limit"]])])
    return headings, rows


def times(ratio: dict[str, Any] | None) -> str:
    """The ratio, with its range if there were several rounds; what is slower than the rival is marked."""
    if ratio is None:
        return ""
    marks = " SLOWER" * (ratio["ratio"] < 1) + " ERRATIC" * erratic(ratio)
    spread = "" if ratio["lowest"] == ratio["highest"] else f" ({ratio['lowest']:.2f}…{ratio['highest']:.2f})"
    return f"{ratio['ratio']:.2f}{spread}{marks}"


def quantity(value: float, unit: str) -> str:
    """Seconds, or bytes in MB."""
    return f"{value / 1e6:.0f} MB" if unit == "bytes" else f"{value:.2g} s"


def verdict(met: list[bool]) -> str:
    """Of all numbers of threads."""
    return "met" if all(met) else "MISSED" if not any(met) else "met in part"
