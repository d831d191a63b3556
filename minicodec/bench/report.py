"""bench.json, and the tables made of it: for a terminal, and as Markdown for a README.

    version, machine, settings
    ceilings   {"1": {"sgemm": flop/s, "bandwidth": bytes/s}, ...} by number of threads
    ops        a record for each op, size, direction, backend and number of threads [ops.measure]; gflops, share (of
               the peak; None where no work is counted)
    cases      a record for each case, implementation and number of threads: the Case's name and fields, median and
               quartiles of all calls, the medians of the rounds (all seconds), error (why there are no figures)
    ratios     a record for each case, rival and number of threads: rival's time / minicodec's. ratio, lowest and
               highest of the rounds; single, the same with the rival on the fewest threads; the target, where there
               is one, and whether it is met
    start      start-up and memory [start.measure]
    command    the whole command [command.measure]

With two threads, PyTorch's can get into each other's way: then it takes ten times as long as with one, or does so in
some rounds. Nobody meets a target because the rival had a bad day: where such figures differ by more than the factor
ERRATIC, the rival's best is what counts.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from rich.table import Table

from minicodec.bench import command
from minicodec.bench.child import THREADS, counted
from minicodec.bench.machine import VERSIONS

Report = dict[str, Any]
Rows = tuple[list[str], list[list[str]]]  # headings, rows

ERRATIC = 2.0
BUSY = 0.5  # processes that want a core before the benchmark starts its own
WORDS = ("op", "size", "", "what", "whole command")  # headings of columns of words
LEADING = {"what": 1, "op": 4, "whole command": 2}  # columns that say what a row is about, by the heading of the first


def ratios(cases: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """How many times as fast minicodec is, from the records of the cases."""
    records = {(c["case"], c["threads"], c["implementation"]): c for c in cases}
    for c in cases:
        own = records[c["case"], c["threads"], "minicodec"]
        if c is own or not c["rounds"]:
            continue
        by_round = [theirs / mine for theirs, mine in zip(c["rounds"], own["rounds"], strict=True)]
        # A rival whose threads get into each other's way would better have used a single one.
        single = records[c["case"], min(r["threads"] for r in cases), c["implementation"]]["rounds"] or c["rounds"]
        ratio = {
            "case": c["case"], "against": c["implementation"], "threads": c["threads"], "target": c["target"],
            "ratio": float(np.median(by_round)), "lowest": min(by_round), "highest": max(by_round),
            "single": float(np.median(single) / np.median(own["rounds"])),
        }  # fmt: skip
        yield ratio | {"met": meets(ratio)}


def erratic(ratio: dict[str, Any]) -> bool:
    """Do the rounds differ so much that their median says little, or would a single thread have been far better?"""
    return bool(ratio["highest"] > ERRATIC * ratio["lowest"] or ratio["ratio"] > ERRATIC * ratio["single"])


def meets(ratio: dict[str, Any]) -> bool | None:
    """Has the target been reached? None if there is none; the targets are set against PyTorch as it comes."""
    if ratio["target"] is None or ratio["against"] != "torch":
        return None
    return bool((min(ratio["lowest"], ratio["single"]) if erratic(ratio) else ratio["ratio"]) >= ratio["target"])


def tables(report: Report) -> list[Rows]:
    """All that have rows."""
    return [(headings, rows) for headings, rows in (summary(report), command_rows(report), op_rows(report)) if rows]


def summary(report: Report) -> Rows:
    """A row for each case, for start-up and memory; columns for each number of threads, rivals beside minicodec."""
    rivals = [name for name in dict.fromkeys(c["implementation"] for c in report["cases"]) if name != "minicodec"]
    records = {(c["case"], c["threads"], c["implementation"]): c for c in report["cases"]}
    compared = {(r["case"], r["threads"], r["against"]): r for r in report["ratios"]}
    headings, rows = ["what"], []
    for t in report["settings"]["threads"]:
        headings += [f"{counted(t)}, ms", *(f"{prefix}{rival}" for rival in rivals for prefix in ("ms ", "x "))]
    for case in dict.fromkeys(c["case"] for c in report["cases"]):
        row = [case]
        for t in report["settings"]["threads"]:
            row.append(milliseconds(records[case, t, "minicodec"]))
            for key in ((case, t, rival) for rival in rivals):
                row += [milliseconds(records.get(key)), times(compared.get(key))]
        aimed = [r for r in report["ratios"] if r["case"] == case and r["met"] is not None]
        target = f"≥ {aimed[0]['target']:g} x" if aimed else ""
        rows.append([*row, target, verdict([r["met"] for r in aimed])])
    for s in report["start"]:
        # The number of threads makes no difference to these: one figure, in the first column.
        spread = "…".join(quantity(f(s["rounds"]), s["unit"]) for f in (min, max))
        figure = quantity(s["median"], s["unit"]) + f" ({spread})" * (len(s["rounds"]) > 1)
        limit = ["", ""] if s["limit"] is None else [f"< {quantity(s['limit'], s['unit'])}", verdict([s["met"]])]
        rows.append([s["what"], figure, *[""] * (len(headings) - 2), *limit])
    return [*headings, "target", ""], rows


def command_rows(report: Report) -> Rows:
    """A row for each implementation and number of threads; what the package needs as a multiple of minicodec's."""
    own = {r["threads"]: r for r in report["command"] if r["implementation"] == "minicodec"}
    headings, rows = ["whole command", "threads"], []
    for measure in command.MEASURES:
        headings += [measure, "x"]
    for r in report["command"]:
        row = [f"{r['implementation']}: encode {r['seconds']} s", str(r["threads"])]
        for measure in command.MEASURES:
            spread = [quantity(f(some[measure] for some in r["rounds"]), unit(measure)) for f in (min, max)]
            figure = quantity(r[measure], unit(measure))
            row.append(figure + f" ({'…'.join(spread)})" * (len(r["rounds"]) > 1))
            row.append("" if r is own[r["threads"]] else f"{r[measure] / own[r['threads']][measure]:.2f}")
        rows.append(row)
    return headings, rows


def op_rows(report: Report) -> Rows:
    """A row for each op, size, direction and number of threads."""
    pairs: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for r in report["ops"]:
        pairs.setdefault((r["op"], r["size"], r["direction"], str(r["threads"])), []).append(r)
    rows = []
    for key, pair in pairs.items():
        slow, best = pair[0], pair[-1]
        fast = [milliseconds(best), f"{slow['median'] / best['median']:.2f}"] if len(pair) > 1 else ["", ""]
        speed = ["", ""] if best["gflops"] is None else [f"{best['gflops']:.1f}", f"{best['share']:.0%}"]
        rows.append([*key, milliseconds(slow), *fast, *speed, f"{best['bytes'] / best['median'] / 1e9:.1f}"])
    headings = ["op", "size", "", "threads", "definition, ms", "fast, ms", "x", "GF/s", "of peak", "GB/s"]
    return headings, rows


# Cells


def times(ratio: dict[str, Any] | None) -> str:
    """The ratio, with its range if there were several rounds; what is slower than the rival is marked."""
    if ratio is None:
        return ""
    marks = " SLOWER" * (ratio["ratio"] < 1) + " ERRATIC" * erratic(ratio)
    spread = "" if ratio["lowest"] == ratio["highest"] else f" ({ratio['lowest']:.2f}…{ratio['highest']:.2f})"
    return f"{ratio['ratio']:.2f}{spread}{marks}"


def milliseconds(record: dict[str, Any] | None) -> str:
    """Median ± half the distance of the quartiles."""
    if record is None:
        return ""
    if record.get("error"):
        return "fails"
    spread = (record["upper_quartile"] - record["lower_quartile"]) / 2 * 1e3
    digits = 2 if record["median"] < 0.1 else 0
    return f"{record['median'] * 1e3:.{digits}f} ± {spread:.{digits}f}"


def quantity(value: float, unit: str) -> str:
    """Seconds, or bytes in MB."""
    return f"{value / 1e6:.0f} MB" if unit == "bytes" else f"{value:.2g} s"


def unit(measure: str) -> str:
    """Of a measure of the whole command."""
    return "bytes" if measure == "memory" else "s"


def verdict(met: list[bool]) -> str:
    """Of all numbers of threads; nothing if there is no target."""
    return "" if not met else "met" if all(met) else "MISSED" if not any(met) else "met in part"


# The whole


def machine_line(report: Report) -> str:
    """What it was measured on."""
    m, s = report["machine"], report["settings"]
    ceilings = "; ".join(
        f"{counted(int(t))}: sgemm {c['sgemm'] / 1e9:.0f} GF/s, memory {c['bandwidth'] / 1e9:.0f} GB/s"
        for t, c in report["ceilings"].items()
    )
    versions = ", ".join(f"{name} {m[name]}" for name in VERSIONS if m[name])
    return f"{s['preset']} on {m['cpu']}, {m['cores']} cores, Python {m['python']}, {versions}. {ceilings}."


def notes(report: Report) -> list[str]:
    """What the tables do not say."""
    lines = ["ms: median ± half the distance of the quartiles. of peak: of sgemm on as many threads, at large sizes."]
    if report["settings"]["peers"]:
        lines.append("x: rival's time / minicodec's, median (range) over rounds; below 1, minicodec is slower.")
    if any(erratic(r) for r in report["ratios"]):
        reason = f"the rival's rounds, or one thread and several, differ {ERRATIC:g} times or more"
        lines.append(f"ERRATIC: {reason}; its best is held against the target.")
    load = report["machine"]["load"]
    if load is not None and load > BUSY:
        lines.append(f"THE MACHINE WAS BUSY before this began (load average {load:.1f}): no figure can be trusted.")
    given = ", ".join(f"{k}={v}" for k, v in report["machine"]["environment"].items() if k not in THREADS)
    lines.append(f"Threads: {', '.join(THREADS)} set for each process; {given or 'no other such variable is set'}.")
    return [*lines, *dict.fromkeys(c["error"] for c in report["cases"] if c["error"])]


def rich_table(headings: list[str], rows: list[list[str]]) -> Table:
    """For a terminal: words to the left, numbers to the right."""
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=True, justify="left" if heading in WORDS else "right")
    for row in rows:
        table.add_row(*row)
    return table


def markdown(report: Report) -> str:
    """The machine, the tables and the notes."""
    parts = [machine_line(report)]
    for headings, rows in tables(report):
        lines = [headings, ["---"] * len(headings), *rows]
        parts.append("\n".join(f"| {' | '.join(cells)} |" for cells in lines))
    return "\n\n".join([*parts, *notes(report)]) + "\n"
